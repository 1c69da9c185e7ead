"""Projections in a SQLite file: making, opening and asking them, and what only a file does."""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path
from threading import Event
from typing import Any
from uuid import UUID

import pytest

from eventsource.events.base import DomainEvent
from eventsource.exceptions import DatabaseError
from eventsource.handlers import handles
from eventsource.projections.sqlite import SQLiteProjection
from eventsource.testing.events import Opened, opened

Sql = Callable[..., list[tuple[Any, ...]]]

USES: dict[str, Callable[[Any, Opened], Awaitable[object]]] = {
    "fetch": lambda visits, event: visits.fetch("SELECT 1"),
    "handle": lambda visits, event: visits.handle(event),
    "reset": lambda visits, event: visits.reset(),
    "get_checkpoint": lambda visits, event: visits.get_checkpoint(),
    "retry_dead_letters": lambda visits, event: visits.retry_dead_letters(),
}


@pytest.fixture
def event(door: UUID) -> Opened:
    """An event."""
    (event,) = opened(door, 1)
    return event


def refuse(connection: sqlite3.Connection, event: Opened) -> None:
    raise LookupError("no room")


class TestMaking:
    def test_an_asynchronous_handler_is_refused(self, path: Path) -> None:
        """At construction, with the reason."""

        class Waiting(SQLiteProjection):
            @handles(Opened)
            async def on_opened(self, connection: sqlite3.Connection, event: Opened) -> None: ...

        with pytest.raises(
            ValueError, match=r"Waiting\.on_opened must not be async: it runs on the thread that writes"
        ):
            Waiting(path)

    def test_a_handler_without_a_connection_is_refused(self, path: Path) -> None:
        """It could not write anything."""

        class Blind(SQLiteProjection):
            @handles(Opened)
            def on_opened(self, event: Opened) -> None: ...

        with pytest.raises(ValueError, match=r"Blind\.on_opened takes 1 .* must take \(connection, event\)"):
            Blind(path)

    def test_a_handler_of_the_base_class_is_refused(self, path: Path) -> None:
        """It would never be called."""

        class Everything(SQLiteProjection):
            @handles(DomainEvent)
            def on_event(self, connection: sqlite3.Connection, event: DomainEvent) -> None: ...

        with pytest.raises(ValueError, match=r"Everything handles DomainEvent, but events are matched by their very"):
            Everything(path)

    def test_an_unknown_mode_is_refused(self, path: Path, visits_of: Any) -> None:
        """A slip of the pen would otherwise be taken for ignore."""
        mistyped = type("Mistyped", (visits_of,), {"unregistered_event_handling": "warning"})

        with pytest.raises(ValueError, match=r"Mistyped\.unregistered_event_handling is 'warning'"):
            mistyped(path)

    def test_memory_is_refused_with_advice(self, visits_of: Any) -> None:
        """A private database would be one for the read model and another one for the checkpoint."""
        with pytest.raises(ValueError, match="needs a file: in memory use DeclarativeProjection"):
            visits_of(":memory:")

    def test_it_tells_how_it_was_made(self, path: Path) -> None:
        """What users and instrumentations read is public data, before it is opened too."""
        plain, named = SQLiteProjection(path), SQLiteProjection(path, enable_tracing=True, name="visits")

        assert (plain.database, plain.namespace, plain.is_connected) == (str(path), str(path), False)
        assert (plain.projection_name, named.projection_name) == ("SQLiteProjection", "visits")
        assert (plain.enable_tracing, named.enable_tracing, named.checkpoints.enable_tracing) == (False, True, True)
        assert plain.subscribed_to() == []


class TestOpening:
    @pytest.mark.parametrize("cancelled", [0, 1])
    async def test_a_cancelled_opening_harms_no_other_of_the_same_projection(
        self, path: Path, visits_of: Any, event: Opened, cancelled: int
    ) -> None:
        """Two tasks open it; the one that is not cancelled has it open, with its checkpoints and dead letters."""
        begun, gate = Event(), Event()

        class Held(visits_of):  # type: ignore[misc]
            def _create_tables(self, connection: sqlite3.Connection) -> None:
                begun.set()
                gate.wait(20)
                super()._create_tables(connection)

        held = Held(path)
        openings = [asyncio.create_task(held.initialize()) for _ in range(2)]
        await asyncio.to_thread(begun.wait)
        openings[cancelled].cancel()
        await asyncio.wait([openings[cancelled]])
        gate.set()
        await openings[1 - cancelled]

        await held.handle(event)

        assert (openings[cancelled].cancelled(), await held.get_checkpoint()) == (True, str(event.event_id))
        await held.close()

    async def test_tables_that_cannot_be_created_leave_nothing_open(self, path: Path, visits_of: Any, sql: Sql) -> None:
        """Nor any table of the projection's own, of which one was created before."""

        class Broken(visits_of):  # type: ignore[misc]
            def _create_tables(self, connection: sqlite3.Connection) -> None:
                super()._create_tables(connection)
                connection.execute("CREATE TABLE broken")

        broken = Broken(path)

        with pytest.raises(DatabaseError, match="nothing was written"):
            await broken.initialize()

        assert not any(part.is_connected for part in (broken, broken.checkpoints, broken.dead_letters))
        assert sql("SELECT 1 FROM sqlite_schema WHERE name = 'visits'") == []

    async def test_a_checkpoint_table_of_another_layout_is_refused(self, path: Path, visits_of: Any, sql: Sql) -> None:
        """Before the projection's own tables are created."""
        sql("CREATE TABLE projection_checkpoints (projection_name TEXT)")

        with pytest.raises(DatabaseError, match="another layout than SQLiteCheckpointRepository's"):
            await visits_of(path).initialize()

        assert sql("SELECT 1 FROM sqlite_schema WHERE name = 'visits'") == []


class TestFetching:
    async def test_rows_are_those_that_the_query_asks_for(self, visits: Any, door: UUID) -> None:
        """With parameters or without."""
        for event in opened(door, 3):
            await visits.handle(event)

        assert await visits.fetch("SELECT number FROM visits WHERE number > ? ORDER BY number", [1]) == [(2,), (3,)]
        assert await visits.fetch("SELECT count(*) FROM visits") == [(3,)]

    async def test_a_wrong_query_is_a_database_error(self, visits: Any) -> None:
        """It says what SQLite said."""
        with pytest.raises(DatabaseError, match="no such table: doors"):
            await visits.fetch("SELECT 1 FROM doors")

    async def test_it_writes_nothing(self, visits: Any, event: Opened) -> None:
        """Whoever writes past the handlers would make the read model say what the log does not."""
        await visits.handle(event)

        with pytest.raises(DatabaseError, match="nothing was read; what reads must not write"):
            await visits.fetch("DELETE FROM visits RETURNING number")

        assert await visits.numbers() == [1]


class TestHandling:
    async def test_what_sqlite_raises_says_what_was_refused(self, visits: Any, event: Opened) -> None:
        """It is the handler's failure, and reaches the caller as it is."""
        visits.do = lambda connection, event: connection.execute("INSERT INTO doors VALUES (1)")

        with pytest.raises(sqlite3.OperationalError, match="no such table: doors"):
            await visits.handle(event)

        assert await visits.numbers() == []

    async def test_an_outage_is_explained(self, path: Path, visits_of: Any, event: Opened) -> None:
        """What the handler has not caused says what can be done about it."""

        def fail(connection: sqlite3.Connection, event: Opened) -> None:
            error = sqlite3.OperationalError("database is locked")
            error.sqlite_errorcode = sqlite3.SQLITE_BUSY
            raise error

        async with visits_of(path, fail) as visits:
            with pytest.raises(DatabaseError, match="another connection kept it locked"):
                await visits.handle(event)


class TestResetting:
    async def test_it_is_both_or_nothing(self, path: Path, visits_of: Any, event: Opened) -> None:
        """If the tables cannot be emptied, the checkpoint stays too."""

        class Held(visits_of):  # type: ignore[misc]
            def _empty_tables(self, connection: sqlite3.Connection) -> None:
                super()._empty_tables(connection)
                raise LookupError("held")

        async with Held(path) as visits:
            await visits.handle(event)

            with pytest.raises(LookupError, match="held"):
                await visits.reset()

            assert (await visits.numbers(), await visits.get_checkpoint()) == ([1], str(event.event_id))
