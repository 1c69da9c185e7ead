"""Hooks that are named in environment variables."""

import importlib
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from eventsource import InMemoryEventStore
from eventsource.testing.events import DOOR, opened
from eventsource_instrumentation.instrumentor import instrumented
from eventsource_instrumentation.recording import Recording

APPEND = "eventsource.event_store.append_events"
REQUEST_HOOK = "OTEL_PYTHON_EVENTSOURCE_REQUEST_HOOK"
# A module whose attributes are counted when they are looked up.
LATE = """
CALLS = []
LOOKED_UP = []


def __getattr__(name):
    if name != "note":
        raise AttributeError(name)
    LOOKED_UP.append(name)
    return lambda *seen: CALLS.append(len(seen))
"""
SEEN: list[Any] = []


def note(*seen: Any) -> None:
    """Serve as a hook."""
    SEEN.append(seen)


async def note_later(*seen: Any) -> None:
    """Serve as a hook that cannot be one."""


@pytest.fixture
def seen() -> list[Any]:
    """What `note` was called with."""
    SEEN.clear()
    return SEEN


@pytest.fixture
def append(store: InMemoryEventStore, door: UUID) -> Callable[[], Awaitable[None]]:
    """Appends one event."""

    async def append_one() -> None:
        await store.append_events(door, DOOR, opened(door, 1), await store.get_stream_version(door, DOOR))

    return append_one


@pytest.mark.parametrize(("variable", "given"), [("REQUEST_HOOK", 3), ("RESPONSE_HOOK", 4)])
async def test_the_function_is_called(
    variable: str,
    given: int,
    recording: Recording,
    append: Callable[[], Awaitable[None]],
    seen: list[Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Named by module and function."""
    monkeypatch.setenv(f"OTEL_PYTHON_EVENTSOURCE_{variable}", f"{__name__}:note")

    with instrumented(tracer_provider=recording.spans.provider):
        await append()

    assert [len(arguments) for arguments in seen] == [given]


async def test_the_function_is_found_when_it_is_needed_and_once(
    recording: Recording,
    append: Callable[[], Awaitable[None]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Under ``opentelemetry-instrument`` the application's modules cannot be imported before it has begun."""
    monkeypatch.setenv(REQUEST_HOOK, "hooks_that_come_late:note")

    with instrumented(tracer_provider=recording.spans.provider):
        (tmp_path / "hooks_that_come_late.py").write_text(LATE)
        monkeypatch.syspath_prepend(tmp_path)
        await append()
        await append()

    late = importlib.import_module("hooks_that_come_late")
    assert (late.CALLS, late.LOOKED_UP) == ([3, 3], ["note"])
    assert [each for each in caplog.records if each.levelno >= logging.WARNING] == []


@pytest.mark.parametrize(
    "value",
    ["no_such_module:note", "os:no_such_function", "os:sep", "::", f"{__name__}:note_later"],
    ids=["no module", "no function", "no callable", "no name", "async"],
)
async def test_a_bad_name_is_ignored_with_one_warning(
    value: str,
    recording: Recording,
    append: Callable[[], Awaitable[None]],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The spans are there all the same, and the log is not filled."""
    monkeypatch.setenv(REQUEST_HOOK, value)

    with instrumented(tracer_provider=recording.spans.provider):
        await append()
        await append()

    assert recording.spans.names == [APPEND, APPEND]
    (warning,) = [each for each in caplog.records if each.levelno >= logging.WARNING]
    assert warning.message.startswith(f"{REQUEST_HOOK}={value!r} is ignored: ")
