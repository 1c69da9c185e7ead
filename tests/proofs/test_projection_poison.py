"""A projection lives through events that it cannot handle, and catches up on them after the fix."""

import sqlite3
from abc import abstractmethod
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from uuid import UUID

import pytest

from eventsource.handlers.decorators import handles
from eventsource.projections.base import CheckpointTrackingProjection, DeclarativeProjection
from eventsource.projections.checkpoints.sqlite import SQLiteCheckpointRepository
from eventsource.projections.dead_letters.sqlite import SQLiteDLQRepository
from eventsource.projections.dead_letters.values import DLQEntry
from eventsource.projections.runner import ProjectionRunner
from eventsource.projections.sqlite import SQLiteProjection
from eventsource.stores.sqlite import SQLiteEventStore
from eventsource.testing.events import DOOR, Opened, opened

DOORS = [UUID(int=number) for number in range(4)]
ATTEMPTS = 3


class StuckError(Exception):
    """What the handlers raise until they are mended."""


class Openings(CheckpointTrackingProjection):
    """Notes the numbers of the events; one in a hundred fails until it is mended."""

    MAX_RETRIES = ATTEMPTS
    RETRY_BACKOFF_BASE = 0
    is_mended = False
    attempts = 0

    @abstractmethod
    async def numbers(self) -> list[int]:
        """Return what was noted, in the order in which it was handled."""

    def check(self, event: Opened) -> None:
        self.attempts += 1
        if event.number % 100 == 50 and not self.is_mended:
            raise StuckError(f"door {event.number} is stuck")


class Plain(DeclarativeProjection, Openings):
    """Its read model is in memory."""

    def __init__(self, checkpoints: SQLiteCheckpointRepository, dead_letters: SQLiteDLQRepository) -> None:
        super().__init__(checkpoints, dead_letters, name="openings")
        self._numbers: list[int] = []

    async def numbers(self) -> list[int]:
        return self._numbers

    @handles(Opened)
    async def on_opened(self, event: Opened) -> None:
        self.check(event)
        self._numbers.append(event.number)


class Transactional(SQLiteProjection, Openings):
    """Its read model is in the file that has the events; what a failing handler wrote must not stay."""

    async def numbers(self) -> list[int]:
        return [number for (number,) in await self.fetch("SELECT number FROM openings ORDER BY id")]

    def _create_tables(self, connection: sqlite3.Connection) -> None:
        connection.execute("CREATE TABLE IF NOT EXISTS openings (id INTEGER PRIMARY KEY, number INTEGER)")

    @handles(Opened)
    def on_opened(self, connection: sqlite3.Connection, event: Opened) -> None:
        connection.execute("INSERT INTO openings (number) VALUES (?)", (event.number,))
        self.check(event)


@pytest.fixture(params=["plain", "transactional"])
async def projection(request: pytest.FixtureRequest, path: Path) -> AsyncIterator[Openings]:
    if request.param == "transactional":
        async with Transactional(path, name="openings") as transactional:
            yield transactional
        return
    async with SQLiteCheckpointRepository(path) as checkpoints, SQLiteDLQRepository(path) as dead_letters:
        yield Plain(checkpoints, dead_letters)


async def test_poison_events_are_put_aside_and_handled_after_the_fix(
    projection: Openings, path: Path, size: Callable[[int, int], int], report: Callable[[str], None]
) -> None:
    """All others are handled in order, each of them is one dead letter, and trying these again completes the rest."""
    events = await _append_events(path, size(400, 2_000))
    poison = [event for event in events if event.number % 100 == 50]

    await _catch_up(path, projection)
    handled, entries = list(await projection.numbers()), await _dead_letters_of(projection)
    projection.is_mended = True
    results = await projection.retry_dead_letters()

    assert handled == [event.number for event in events if event not in poison]
    assert [entry.event_id for entry in entries] == [event.event_id for event in poison]
    assert [(entry.error_type, entry.error_message) for entry in entries] == [
        ("StuckError", f"door {event.number} is stuck") for event in poison
    ]
    assert all("in on_opened" in (entry.error_stacktrace or "") for entry in entries)
    assert {entry.retry_count for entry in entries} == {ATTEMPTS}
    assert [(result.event_id, result.outcome) for result in results] == [
        (event.event_id, "resolved") for event in poison
    ]
    assert await projection.numbers() == handled + [event.number for event in poison]
    assert await _dead_letters_of(projection) == []
    assert projection.attempts == len(handled) + (ATTEMPTS + 1) * len(poison)
    report(
        f"{type(projection).__name__}: {len(events)} events, {len(handled)} handled in order; {len(poison)} dead "
        f"letters, {ATTEMPTS} attempts each; after the fix {len(results)} resolved, 0 missing, 0 handled twice"
    )


async def _append_events(path: Path, count: int) -> list[Opened]:
    """Append so many events to a few doors in turn, and return them in the order of the log."""
    numbered = opened(DOORS[0], count)
    events = [event.model_copy(update={"aggregate_id": DOORS[event.number % len(DOORS)]}) for event in numbered]
    async with SQLiteEventStore(path) as store:
        for event in events:
            version = (event.number - 1) // len(DOORS)
            await store.append_events(event.aggregate_id, DOOR, [event], version)
    return events


async def _catch_up(path: Path, projection: Openings) -> None:
    async with SQLiteEventStore(path) as store, ProjectionRunner(store, projection) as runner:
        await runner.wait_for(timeout=60)


async def _dead_letters_of(projection: Openings) -> list[DLQEntry]:
    return await projection.dead_letters.get_failed_events("openings", limit=1_000, oldest_first=True)
