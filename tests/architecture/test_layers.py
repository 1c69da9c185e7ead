"""The layers that pyproject.toml writes down are those of the code, and crossing one is seen."""

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

LINT = "from importlinter.cli import lint_imports_command; lint_imports_command(['--no-cache'])"
LAYERS = "A layer of the core imports only what stands below it"
SQLITE = "Only what is for SQLite uses SQLite's connections and queries"
UNOBSERVED = "The core does not know that it is observed"
DRIVERLESS = "The instrumentation imports no driver"
PORTS = "The instrumentation knows ports and no backend"

VIOLATIONS = [
    ("eventsource/events/base.py", "import eventsource.stores.interface", LAYERS),
    ("eventsource/events/upcasting.py", "from eventsource import EventStore", LAYERS),
    ("eventsource/stores/interface.py", "def late(): import eventsource.stores.in_memory", LAYERS),
    ("eventsource/stores/sqlite.py", "import eventsource.snapshots.sqlite", LAYERS),
    ("eventsource/aggregates/repository.py", "import eventsource.databases.sqlite", SQLITE),
    ("eventsource/component.py", "import opentelemetry.trace", UNOBSERVED),
    ("eventsource/bus/memory.py", "def late(): import wrapt", UNOBSERVED),
    ("eventsource/observability/tracing.py", "import eventsource_instrumentation", UNOBSERVED),
    ("eventsource_instrumentation/version.py", "import aiokafka", DRIVERLESS),
    ("eventsource_instrumentation/version.py", "import eventsource.stores.sqlite", DRIVERLESS),
    ("eventsource_instrumentation/version.py", "import eventsource.stores.in_memory", PORTS),
]


@pytest.fixture
def copy(root: Path, tmp_path: Path) -> Path:
    """A copy of the source tree, to do wrong in."""
    shutil.copy(root / "pyproject.toml", tmp_path)
    for package in ("eventsource", "eventsource_instrumentation"):
        shutil.copytree(root / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def lint_imports(tree: Path) -> subprocess.CompletedProcess[str]:
    plain = os.environ | {"NO_COLOR": "1", "COLUMNS": "200", "PYTHONPATH": str(tree)}
    command = [sys.executable, "-c", LINT]
    return subprocess.run(command, cwd=tree, env=plain, check=False, capture_output=True, text=True)


def test_every_import_keeps_to_the_layers(copy: Path) -> None:
    """The code stands as it is drawn."""
    linted = lint_imports(copy)

    assert linted.returncode == 0, linted.stdout + linted.stderr
    assert "0 broken" in linted.stdout


@pytest.mark.parametrize(("module", "line", "contract"), VIOLATIONS)
def test_a_planted_violation_is_seen(copy: Path, module: str, line: str, contract: str) -> None:
    """Each contract can fail, also for an import inside a function and by way of another module."""
    with (copy / module).open("a") as source:
        source.write(f"\n{line}\n")

    linted = lint_imports(copy)

    assert linted.returncode == 1, linted.stdout + linted.stderr
    assert f"{contract} BROKEN" in linted.stdout


def test_every_module_of_the_core_has_its_layer(root: Path) -> None:
    """A module that no layer names is held by none."""
    contracts = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    named = {name for layer in layers for name in layer.replace("|", " ").replace(":", " ").split()}

    homeless = [
        name
        for path in (root / "eventsource").rglob("*.py")
        if path.name != "__init__.py"
        for name in [".".join(path.relative_to(root).with_suffix("").parts)]
        if not any(name == layer or name.startswith(f"{layer}.") for layer in named)
    ]

    assert homeless == []
