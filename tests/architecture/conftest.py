"""Where the sources are, a wheel made of them, and interpreters that start afresh."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

PACKAGES = ("eventsource", "eventsource_instrumentation")


@pytest.fixture(scope="session")
def root() -> Path:
    """The source tree."""
    return Path(__file__).parents[2]


@pytest.fixture(scope="session")
def modules(root: Path) -> list[Path]:
    """The sources of both packages."""
    return sorted(path for package in PACKAGES for path in (root / package).rglob("*.py"))


@pytest.fixture(scope="session")
def wheel(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built of the source tree."""
    directory = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(directory)]
    subprocess.run(build, cwd=root, check=True, capture_output=True, text=True)
    return next(directory.glob("*.whl"))


@pytest.fixture
def run_afresh() -> Callable[[str], str]:
    """Runs a script in an interpreter of its own, which sees only what is installed, and returns what it prints."""

    def run(script: str) -> str:
        command = [sys.executable, "-I", "-W", "error", "-c", script]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run
