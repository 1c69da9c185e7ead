"""An application that knows nothing of OpenTelemetry, started by ``opentelemetry-instrument``."""

import json
import os
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

SCRIPT = """
import asyncio
from uuid import UUID, uuid4

from pydantic import BaseModel

from eventsource import AggregateRepository, DeclarativeAggregate, DomainEvent, InMemoryEventStore, handles
from eventsource.observability import TracingMixin


class TaskCreated(DomainEvent):
    aggregate_type: str = "Task"
    title: str


class TaskState(BaseModel):
    title: str = ""


class Task(DeclarativeAggregate[TaskState]):
    aggregate_type = "Task"

    def _get_initial_state(self) -> TaskState:
        return TaskState()

    @handles(TaskCreated)
    def _on_created(self, event: TaskCreated) -> None:
        self._state = TaskState(title=event.title)


class TaskService(TracingMixin):
    def __init__(self, tasks: AggregateRepository[Task]) -> None:
        self._init_tracing(__name__)
        self._tasks = tasks

    async def create_task(self, title: str) -> UUID:
        with self._create_span_context("task_service.create_task", {"title": title}):
            task = Task(uuid4())
            task.apply_event(TaskCreated(aggregate_id=task.aggregate_id, title=title))
            await self._tasks.save(task)
            return task.aggregate_id


asyncio.run(TaskService(AggregateRepository(InMemoryEventStore(), Task, "Task")).create_task("write tests"))
"""
CHAIN = ["task_service.create_task", "eventsource.repository.save", "eventsource.event_store.append_events"]


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """The application."""
    path = tmp_path / "tasks.py"
    path.write_text(SCRIPT)
    return path


def run(script: Path, exporter: str, **settings: str) -> str:
    """Run *script* instrumented and return what it prints."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL", "PYTEST", "PYTHON"))}
    environment = inherited | {"PYTHONIOENCODING": "utf-8"} | settings
    command = [
        str(Path(sysconfig.get_path("scripts")) / "opentelemetry-instrument"),
        *("--traces_exporter", exporter, "--metrics_exporter", "none", "--logs_exporter", "none"),
        *(sys.executable, str(script)),
    ]
    done = subprocess.run(
        command, cwd=script.parent, env=environment, check=False, capture_output=True, text=True, encoding="utf-8"
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def exported(text: str) -> Iterator[dict[str, Any]]:
    """Yield the spans that the console exporter printed, one JSON object after the other."""
    decoder = json.JSONDecoder()
    while text := text.lstrip():
        span, end = decoder.raw_decode(text)
        yield span
        text = text[end:]


def test_the_spans_are_exported_as_one_trace(script: Path) -> None:
    """The application's own, the repository's and the store's."""
    spans = {span["name"]: span for span in exported(run(script, "console"))}

    assert sorted(spans) == sorted(CHAIN)
    assert [spans[name]["parent_id"] for name in CHAIN] == [
        None,
        spans[CHAIN[0]]["context"]["span_id"],
        spans[CHAIN[1]]["context"]["span_id"],
    ]
    assert spans[CHAIN[0]]["attributes"] == {"title": "write tests"}


def test_the_tree_exporter_can_be_chosen_by_name(script: Path) -> None:
    """It draws the same trace."""
    root, save, append = run(script, "eventsource_tree").splitlines()

    assert root.startswith("task_service.create_task ")
    assert save.startswith("└─ eventsource.repository.save ")
    assert append.startswith("   └─ eventsource.event_store.append_events ")
    assert append.endswith("Task  TaskCreated  events=1  version=1")


def test_environment_variables_are_the_options(script: Path) -> None:
    """There is no call to give keywords to."""
    text = run(script, "console", OTEL_PYTHON_EVENTSOURCE_EXCLUDED_COMPONENTS="event_store")

    assert sorted(span["name"] for span in exported(text)) == sorted(CHAIN[:2])


def test_it_can_be_disabled_by_name(script: Path) -> None:
    """As every instrumentation can."""
    assert run(script, "console", OTEL_PYTHON_DISABLED_INSTRUMENTATIONS="eventsource") == ""


def test_without_it_the_script_does_the_same(script: Path) -> None:
    """Its own spans do nothing."""
    done = subprocess.run([sys.executable, str(script)], check=True, capture_output=True, text=True)

    assert (done.stdout, done.stderr) == ("", "")
