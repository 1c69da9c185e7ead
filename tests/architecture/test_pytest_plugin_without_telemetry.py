"""Whoever installs eventsource without its telemetry extra has a pytest plugin installed, and must not notice."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

BLOCKER = '''
import sys


class Blocker:
    """Makes an environment in which some packages are not installed."""

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("opentelemetry", "wrapt"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


sys.meta_path.insert(0, Blocker())
'''
USERS_TEST = """
import asyncio
import sys
from uuid import uuid4

import pytest

from eventsource import DomainEvent, InMemoryEventStore


class Opened(DomainEvent):
    aggregate_type: str = "Door"


def test_doors_open():
    door = uuid4()
    store = InMemoryEventStore()
    opened = Opened(aggregate_id=door)

    asyncio.run(store.append_events(door, "Door", [opened], 0))

    assert asyncio.run(store.get_events(door, "Door")).events == [opened]


def test_nothing_of_telemetry_is_here():
    assert "eventsource_instrumentation.pytest_plugin" in sys.modules
    assert not [name for name in sys.modules if name.partition(".")[0] in ("opentelemetry", "wrapt")]
"""
# Other people's plugins warn of their own account.
PYTEST = ("-m", "pytest", "-W", "error", "-p", "no:cacheprovider", "-p", "no:asyncio")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A user's project with a test of its own."""
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "project" / "test_doors.py").write_text(USERS_TEST)
    return tmp_path / "project"


@pytest.fixture
def blocker(tmp_path: Path) -> Path:
    """A directory on whose account, when it is on the path, no OpenTelemetry package can be imported."""
    (tmp_path / "blocker").mkdir()
    (tmp_path / "blocker" / "sitecustomize.py").write_text(BLOCKER)
    return tmp_path / "blocker"


def run_python(project: Path, *arguments: str, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PYTEST", "PYTHON"))}
    if path is not None:
        environment["PYTHONPATH"] = str(path)
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=project, env=environment, check=False, capture_output=True, text=True)


def test_the_blocker_blocks(project: Path, blocker: Path) -> None:
    """Else the other tests here would say nothing."""
    tried = run_python(project, "-c", "import opentelemetry", path=blocker)

    assert "ModuleNotFoundError: No module named 'opentelemetry'" in tried.stderr


def test_a_users_tests_run_undisturbed_where_telemetry_is_not_installed(project: Path, blocker: Path) -> None:
    """Nothing fails and nothing is warned about."""
    run = run_python(project, *PYTEST, path=blocker)

    assert run.returncode == 0, run.stdout + run.stderr
    assert "2 passed" in run.stdout
    assert "warning" not in run.stdout.lower()


def test_a_users_tests_load_no_telemetry_that_they_do_not_ask_for(project: Path) -> None:
    """The plugin's presence costs nothing where the extra is installed, either."""
    run = run_python(project, *PYTEST)

    assert run.returncode == 0, run.stdout + run.stderr
    assert "2 passed" in run.stdout
