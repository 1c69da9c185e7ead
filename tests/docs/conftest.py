"""Where the documentation is, and interpreters in which it is tried out."""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeAlias

import pytest

Run: TypeAlias = Callable[..., subprocess.CompletedProcess[str]]

WITHOUT_TELEMETRY = '''
import importlib.metadata
import sys

PACKAGES = ("opentelemetry", "wrapt")


class Blocker:
    """Makes an environment in which some packages are not installed."""

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in PACKAGES:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def find_distributions(*args, _find=importlib.metadata.MetadataPathFinder.find_distributions):
    return (each for each in _find(*args) if not each.metadata["Name"].startswith(PACKAGES))


sys.meta_path.insert(0, Blocker())
importlib.metadata.MetadataPathFinder.find_distributions = find_distributions
'''


@pytest.fixture(scope="session")
def root() -> Path:
    """The source tree, which has the documentation."""
    return Path(__file__).parents[2]


@pytest.fixture
def environment() -> Mapping[str, str]:
    """The environment of a user, who has set none of the variables that change what is shown."""
    changing = ("PYTEST", "PYTHON", "OTEL", "EVENTSOURCE", "COV")
    plain = {name: value for name, value in os.environ.items() if not name.startswith(changing)}
    return plain | {"PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])}


@pytest.fixture
def run(tmp_path: Path, environment: Mapping[str, str]) -> Run:
    """Runs a command in an empty directory."""

    def run_command(*command: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
        whole = {**environment, **variables}
        return subprocess.run(command, cwd=tmp_path, env=whole, check=False, capture_output=True, text=True)

    return run_command


@pytest.fixture
def run_python(run: Run) -> Run:
    """Runs a script in an empty directory, with every warning an error."""
    return lambda *arguments, **variables: run(sys.executable, "-W", "error", *arguments, **variables)


@pytest.fixture
def without_telemetry(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The variables of an environment in which no OpenTelemetry package seems to be installed."""
    directory = tmp_path_factory.mktemp("without_telemetry")
    (directory / "sitecustomize.py").write_text(WITHOUT_TELEMETRY)
    return {"PYTHONPATH": str(directory)}
