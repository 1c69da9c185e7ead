"""The core does not know that it is observed, and nobody loads what they do not use."""

import re
from collections.abc import Callable
from pathlib import Path
from zipfile import ZipFile

import pytest

OBSERVERS = re.compile(rb"opentelemetry|wrapt", re.IGNORECASE)
DRIVERS = {"sqlite3", "_sqlite3", "aiokafka", "aio_pika", "aiormq", "asyncpg"}

LOADED = "import sys; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
EVERY_MODULE = f"""
import importlib, pkgutil, eventsource
for module in pkgutil.walk_packages(eventsource.__path__, "eventsource."):
    importlib.import_module(module.name)
{LOADED}
"""


def test_the_sources_of_the_core_do_not_name_its_observers(root: Path) -> None:
    """Not in code, not in a docstring, not in a comment."""
    sources = [path for path in (root / "eventsource").rglob("*") if path.is_file() and "__pycache__" not in path.parts]

    offenders = [str(path) for path in sources if OBSERVERS.search(path.read_bytes())]

    assert sources
    assert offenders == []


def test_the_core_in_the_wheel_does_not_name_its_observers(wheel: Path) -> None:
    """What is delivered is what is checked."""
    with ZipFile(wheel) as archive:
        core = {name: archive.read(name) for name in archive.namelist() if name.startswith("eventsource/")}

    offenders = [name for name, content in core.items() if OBSERVERS.search(content)]

    assert "eventsource/__init__.py" in core
    assert offenders == []


def test_no_module_of_the_core_loads_an_observer(run_afresh: Callable[[str], str]) -> None:
    """All of the core works where no observer is installed, and leaves it alone where one is."""
    loaded = set(run_afresh(EVERY_MODULE).split())

    assert "sqlite3" in loaded
    assert loaded.isdisjoint({"opentelemetry", "wrapt", "eventsource_instrumentation"})


def test_importing_the_core_loads_no_driver(run_afresh: Callable[[str], str]) -> None:
    """A driver is loaded when its backend is first asked for."""
    loaded = set(run_afresh(f"import eventsource; {LOADED}").split())

    assert "eventsource" in loaded
    assert loaded.isdisjoint(DRIVERS)


def test_asking_whether_telemetry_is_there_imports_none_of_it(run_afresh: Callable[[str], str]) -> None:
    """The answer comes from what is installed, not from trying."""
    loaded = set(run_afresh(f"from eventsource.observability import OTEL_AVAILABLE; {LOADED}").split())

    assert loaded.isdisjoint({"opentelemetry", "wrapt"})


@pytest.mark.parametrize("module", ["eventsource_instrumentation", "eventsource_instrumentation.pytest_plugin"])
def test_the_doors_of_the_instrumentation_open_without_telemetry(module: str, run_afresh: Callable[[str], str]) -> None:
    """Both are imported in the processes of people who never installed the extra."""
    loaded = set(run_afresh(f"import {module}; {LOADED}").split())

    assert "eventsource_instrumentation" in loaded
    assert loaded.isdisjoint({"opentelemetry", "wrapt"})
