"""The programs of tutorial 20, with OpenTelemetry and where it is not installed."""

import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest

Run: TypeAlias = Callable[..., subprocess.CompletedProcess[str]]

BRANCH = re.compile(r"^([ │├└─]*)([a-z_.]+) +\d+\.\d\d ms(?:  (.*))?$")
TRACEPARENT = re.compile(r"00-([\da-f]{32})-[\da-f]{16}-[\da-f]{2}$")

EXPORT_NOTHING_ELSE = ("--metrics_exporter", "none", "--logs_exporter", "none")
OPENED = """\
help_desk.open
└─ eventsource.repository.save
   ├─ eventsource.event_store.append_events
   └─ eventsource.event_bus.publish
      └─ eventsource.event_bus.dispatch
         └─ eventsource.event_bus.handle
            └─ eventsource.projection.handle
               └─ eventsource.projection.handler"""
CLOSED = """\
help_desk.close
├─ eventsource.repository.load
│  └─ eventsource.event_store.get_events
├─ eventsource.repository.save
│  ├─ eventsource.event_store.append_events
│  └─ eventsource.event_bus.publish
│     └─ eventsource.event_bus.dispatch
│        └─ eventsource.event_bus.handle
│           └─ eventsource.projection.handle
│              └─ eventsource.projection.handler
└─ post.send"""
ADDED = """\
cart.add
├─ eventsource.repository.load
│  └─ eventsource.event_store.get_events
└─ eventsource.repository.save
   └─ eventsource.event_store.append_events"""
REMOVED = ADDED.replace("cart.add", "cart.remove")
REFUSED = """\
cart.remove
└─ eventsource.repository.load
   └─ eventsource.event_store.get_events"""
LOOKED = REFUSED.replace("cart.remove", "cart.items")


@pytest.fixture
def example(root: Path) -> Path:
    return root / "docs/tutorials/examples/observability.py"


@pytest.fixture
def solution(root: Path) -> Path:
    return root / "docs/tutorials/exercises/solutions/20-1.py"


def tree_of(output: str) -> str:
    """The spans in *output*, without times and attributes."""
    return "\n".join(found[1] + found[2] for line in output.splitlines() if (found := BRANCH.match(line)))


def rest_of(output: str) -> list[str]:
    """The lines of *output* that are no spans."""
    return [line for line in output.splitlines() if not BRANCH.match(line)]


def test_without_telemetry_none_is_there(run_python: Run, without_telemetry: dict[str, str]) -> None:
    """Else the tests here that go without it would say nothing."""
    script = "from eventsource.observability import OTEL_AVAILABLE; print(OTEL_AVAILABLE); import opentelemetry"

    tried = run_python("-c", script, **without_telemetry)

    assert tried.stdout == "False\n"
    assert "ModuleNotFoundError: No module named 'opentelemetry'" in tried.stderr


def test_the_example_does_its_work_without_telemetry(
    example: Path, run_python: Run, without_telemetry: dict[str, str]
) -> None:
    """It says how to install what is missing."""
    done = run_python(example, **without_telemetry)

    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        'No telemetry; to have it: pip install "eventsource-py[telemetry]"',
        "Sent: Please leave the building [trace unknown]",
        "Waiting: The coffee is cold",
        "TicketOpened was stored with traceparent None",
        "TicketOpened was stored with traceparent None",
        "TicketClosed was stored with traceparent None",
    ]


def test_the_example_shows_its_traces(example: Path, run_python: Run) -> None:
    """Three requests are three trees, and nothing more."""
    done = run_python(example)

    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert tree_of(done.stdout) == "\n".join([OPENED, OPENED, CLOSED])


def test_the_example_connects_traces_logs_and_events(example: Path, run_python: Run) -> None:
    """The log line and the event of one request name one trace; each request has a trace of its own."""
    sent, waiting, *stored, appended, saved = rest_of(run_python(example).stdout)

    traces = [TRACEPARENT.search(line)[1] for line in stored]

    assert waiting == "Waiting: The coffee is cold"
    assert [line.partition(" ")[0] for line in stored] == ["TicketOpened", "TicketOpened", "TicketClosed"]
    assert len(set(traces)) == 3
    assert sent == f"Sent: Please leave the building [trace {traces[-1]}]"
    assert (appended, saved) == ("Events appended: 3", "Aggregates saved: 3")


def test_the_example_leaves_the_command_line_its_way(example: Path, run: Run) -> None:
    """Under `opentelemetry-instrument` it sets nothing up itself, and has the same spans."""
    command = ("opentelemetry-instrument", "--traces_exporter", "eventsource_tree", *EXPORT_NOTHING_ELSE, "python")

    done = run(*command, example)

    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert tree_of(done.stdout) == "\n".join([OPENED, OPENED, CLOSED])
    assert "Waiting: The coffee is cold" in rest_of(done.stdout)


def test_the_solution_asks_for_telemetry(solution: Path, run_python: Run, without_telemetry: dict[str, str]) -> None:
    """It cannot do without, says so, and fails."""
    done = run_python(solution, **without_telemetry)

    assert done.returncode == 1
    assert done.stderr == ""
    assert done.stdout == 'This exercise needs telemetry: pip install "eventsource-py[telemetry]"\n'


def test_the_solution_shows_its_traces(solution: Path, run_python: Run) -> None:
    """Each step is a tree, the refused one too, and none is lost when the program ends."""
    done = run_python(solution)

    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert rest_of(done.stdout) == ["Refused: there is no Saucer in the cart", "Cart: {'Cup': 6}", "Pieces: 6"]
    assert tree_of(done.stdout) == "\n".join([ADDED, ADDED, REMOVED, REFUSED, LOOKED])
    assert [line.split()[0] for line in done.stdout.splitlines() if line.endswith("✗ LookupError")] == ["cart.remove"]


@pytest.mark.parametrize(
    "file",
    ["examples/observability.py", "examples/docker-compose.jaeger.yml", "exercises/solutions/20-1.py"],
)
def test_the_tutorial_shows_its_files(root: Path, file: str) -> None:
    """Whoever reads sees what is executed here."""
    tutorials = root / "docs/tutorials"

    page = (tutorials / "20-observability.md").read_text()

    assert f"file={file}" in page
    assert f"\n{(tutorials / file).read_text()}```\n" in page
