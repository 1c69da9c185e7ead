"""The reference says what the table says."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from eventsource_instrumentation import config
from eventsource_instrumentation.operations import TABLE
from eventsource_instrumentation.reference import render


def test_the_page_is_what_the_table_makes_of_it(root: Path) -> None:
    """It is written by `python -m eventsource_instrumentation.reference > docs/reference/telemetry.md`."""
    page = (root / "docs/reference/telemetry.md").read_text()

    assert page == render()


def test_the_module_prints_the_page(run_python: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    """Whoever changed the table writes the page again with one command."""
    printed = run_python("-m", "eventsource_instrumentation.reference")

    assert printed.stdout == render()
    assert printed.stderr == ""


@pytest.mark.parametrize("row", TABLE.values(), ids=lambda row: row.operation.__name__)
def test_the_page_has_what_an_operation_emits(row) -> None:
    """Spans, attributes and metrics of each operation are there by name."""
    emitted = {*row.spans, *row.at_start, *row.at_end}
    emitted |= {name for each in row.measurements for name in (each.metric.name, *each.attribute_names)}
    emitted |= {name for each in row.gauges for name in (each.metric.name, *each.attribute_names)}

    missing = [name for name in emitted if f"`{name}`" not in render()]

    assert missing == []


@pytest.mark.parametrize(
    "variable",
    [config.EXCLUDED, config.PARENT_MAX_AGE, config.CONSUMER_CONTEXT, config.REQUEST_HOOK, config.RESPONSE_HOOK],
)
def test_the_page_has_each_variable_of_the_environment(variable: str) -> None:
    """It stands in the row of the option that is called like it."""
    option = variable.removeprefix("OTEL_PYTHON_EVENTSOURCE_").lower()

    assert f"| `{option}` | `{variable}" in render()


def test_the_page_has_each_option() -> None:
    """None is without a meaning."""
    rows = [line.split(" | ") for line in render().splitlines()]
    described = {cells[0].strip("| `"): cells[-1].strip("| ") for cells in rows if len(cells) == 3}

    assert all(described.get(option) for option in config.Config.__dataclass_fields__)
