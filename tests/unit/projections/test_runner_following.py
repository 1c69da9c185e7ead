"""Runners follow the log: woken by appends of this process, polling for those of others."""

import asyncio
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from eventsource.stores.sqlite import SQLiteEventStore
from eventsource.testing.events import Closed

New = Callable[..., Any]

APPENDING = """
import asyncio, sys
from uuid import UUID
from eventsource.stores.sqlite import SQLiteEventStore
from eventsource.testing.events import DOOR, Opened

async def append(path, door):
    async with SQLiteEventStore(path) as store:
        await store.append_events(door, DOOR, [Opened(aggregate_id=door, number=2)], -1)

asyncio.run(append(sys.argv[1], UUID(sys.argv[2])))
"""


@pytest.fixture
def only_wakes(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """Options of a runner that never polls."""
    monkeypatch.setattr("eventsource.projections.following._SHORTEST_POLL", 3600.0)
    return {"poll_interval": 3600.0, "checkpoint_interval": 3600.0}


async def test_an_append_wakes_it(
    store: Any, append: New, recorder: New, runner_of: New, only_wakes: dict[str, float]
) -> None:
    """Nobody waits for a poll in the process that appends."""
    projection = recorder()

    async with runner_of(projection, **only_wakes) as runner:
        await runner.wait_for(timeout=20)
        for number in (1, 2, 3):
            await runner.wait_for(await append(store, number), timeout=20)

    assert projection.numbers == [1, 2, 3]


async def test_an_append_through_another_store_on_the_file_wakes_it(
    path: Path, on_file: Any, append: New, recorder: New, runner_of: New, only_wakes: dict[str, float]
) -> None:
    """The log is the file, whoever writes to it."""
    projection = recorder()

    async with SQLiteEventStore(path) as other, runner_of(projection, on_file, **only_wakes) as runner:
        await runner.wait_for(timeout=20)
        await runner.wait_for(await append(other, 1), timeout=20)

    assert projection.numbers == [1]


async def test_an_append_while_an_event_is_handled_is_not_missed(
    store: Any, append: New, recorder: New, runner_of: New, gate: Any, only_wakes: dict[str, float]
) -> None:
    """It wakes who is about to wait."""
    projection = recorder(gate)

    async with runner_of(projection, **only_wakes) as runner:
        await append(store, 1)
        await gate.reached.wait()
        position = await append(store, 2)
        gate.opened.set()
        await runner.wait_for(position, timeout=20)

    assert projection.numbers == [1, 2]


async def test_an_append_while_the_log_is_read_is_not_missed(
    store: Any, append: New, recorder: New, runner_of: New, only_wakes: dict[str, float]
) -> None:
    """Not even if it comes after the end was looked up."""
    projection = recorder()

    async with runner_of(projection, **only_wakes) as runner:
        await runner.wait_for(0, timeout=20)
        store.afterwards = partial(append, store, 2)
        await append(store, 1)
        await runner.wait_for(2, timeout=20)

    assert projection.numbers == [1, 2]


async def test_events_of_another_process_are_found(
    path: Path, door: UUID, on_file: Any, append: New, recorder: New, runner_of: New
) -> None:
    """By looking now and then."""
    await append(on_file, 1)
    projection = recorder()

    async with runner_of(projection, on_file) as runner:
        await runner.wait_for(1, timeout=20)
        command = [sys.executable, "-c", APPENDING, str(path), str(door)]
        await asyncio.to_thread(subprocess.run, command, check=True)
        await runner.wait_for(2, timeout=20)

    assert projection.numbers == [1, 2]


async def test_the_position_follows_what_is_not_wanted(
    store: Any, door: UUID, append: New, recorder: New, runner_of: New, only_wakes: dict[str, float]
) -> None:
    """So that nobody waits in vain for an event that the projection does not want."""
    async with runner_of(recorder(), **only_wakes) as runner:
        await runner.wait_for(await append(store, Closed(aggregate_id=door)), timeout=20)

        assert runner.position == 1
