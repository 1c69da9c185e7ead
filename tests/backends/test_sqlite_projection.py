"""Projections in a SQLite file: opening them, asking them, and what a bus or a caller gives them by hand."""

import asyncio
import logging
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path
from threading import Event
from typing import Any, ClassVar
from uuid import UUID

import pytest

from eventsource.bus.memory import InMemoryEventBus
from eventsource.events.base import DomainEvent
from eventsource.exceptions import DatabaseError, NotConnectedError, UnhandledEventError
from eventsource.handlers import handles
from eventsource.handlers.registry import UnregisteredEventHandling
from eventsource.headers import current_headers
from eventsource.projections.sqlite import SQLiteProjection
from eventsource.retry import RetryPolicy
from eventsource.stores.sqlite import SQLiteEventStore
from eventsource.testing.events import DOOR, Closed, Opened, opened

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
    async def test_it_can_be_opened_twice(self, path: Path, visits_of: Any, event: Opened) -> None:
        """At once and again later; what was written is there."""
        visits = visits_of(path)
        await visits.initialize()
        await visits.initialize()
        await visits.handle(event)
        await visits.close()
        await visits.close()

        async with visits:
            assert (await visits.numbers(), await visits.get_checkpoint()) == ([1], str(event.event_id))

    @pytest.mark.parametrize("use", USES.values(), ids=USES)
    async def test_it_cannot_be_used_while_it_is_not_open(
        self, path: Path, visits_of: Any, event: Opened, use: Callable[..., Awaitable[object]]
    ) -> None:
        """Neither before it was opened nor after it was closed; the message names the projection, and not its parts."""
        visits = visits_of(path)

        with pytest.raises(NotConnectedError, match=r"^Visits on .* is not open: use it inside 'async with'"):
            await use(visits, event)
        async with visits:
            pass
        with pytest.raises(NotConnectedError, match=r"^Visits on .* is not open: use it inside 'async with'"):
            await use(visits, event)

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

    async def test_a_cancelled_opening_leaves_nothing_open(self, path: Path, visits_of: Any) -> None:
        """If nobody else wants it open."""
        visits = visits_of(path)
        opening = asyncio.create_task(visits.initialize())
        await asyncio.sleep(0)

        opening.cancel()
        await asyncio.wait([opening])

        assert not any(part.is_connected for part in (visits, visits.checkpoints, visits.dead_letters))

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

    async def test_the_file_may_be_that_of_the_event_store(
        self, store: SQLiteEventStore, visits: Any, event: Opened
    ) -> None:
        """Both are open at once."""
        await store.append_events(event.aggregate_id, DOOR, [event], 0)
        await visits.handle(event)

        assert (await store.get_global_position(), await visits.numbers()) == (1, [1])


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
    async def test_what_a_bus_delivers_is_written_and_noted(self, visits: Any, event: Opened) -> None:
        """With what stands beside it in hand."""
        headers: list[dict[str, str]] = []
        visits.do = lambda connection, event: headers.append(dict(current_headers()))
        bus = InMemoryEventBus()
        bus.subscribe_all(visits)

        await bus.publish([event, Closed(aggregate_id=event.aggregate_id)], headers={"request": "7"})

        assert (await visits.numbers(), await visits.get_checkpoint()) == ([1], str(event.event_id))
        assert headers == [{"request": "7"}]

    async def test_an_event_that_fails_leaves_its_reason_only(self, visits: Any, event: Opened) -> None:
        """What its handler had written is undone, and the checkpoint has not moved."""
        visits.do = refuse

        with pytest.raises(LookupError, match="no room"):
            await visits.handle(event)

        assert (await visits.numbers(), await visits.get_checkpoint()) == ([], None)
        assert await visits.failed() == [("no room", 1)]

    async def test_it_is_tried_as_often_as_the_policy_says(
        self, path: Path, visits_of: Any, event: Opened, at_once: Callable[[int], RetryPolicy]
    ) -> None:
        """What failed attempts have written is undone each time."""
        failures = [LookupError("first"), LookupError("second")]

        def fail(connection: sqlite3.Connection, event: Opened) -> None:
            if failures:
                raise failures.pop()

        async with visits_of(path, fail, retry_policy=at_once(2)) as visits:
            await visits.handle(event)

            assert (await visits.numbers(), await visits.failed()) == ([1], [])

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


class TestUnhandledEvents:
    @pytest.mark.parametrize(("mode", "lines"), [("ignore", 0), ("warn", 1)])
    async def test_they_count_as_handled(
        self,
        path: Path,
        visits_of: Any,
        door: UUID,
        caplog: pytest.LogCaptureFixture,
        mode: UnregisteredEventHandling,
        lines: int,
    ) -> None:
        """With a warning or without one."""
        event = Closed(aggregate_id=door)
        lenient = type("Lenient", (visits_of,), {"unregistered_event_handling": mode})

        async with lenient(path) as visits:
            with caplog.at_level(logging.WARNING, "eventsource.handlers.registry"):
                await visits.handle(event)

            assert await visits.get_checkpoint() == str(event.event_id)
        assert (
            caplog.messages
            == ["No handler registered for event type Closed in Lenient. Available handlers: Opened"][:lines]
        )

    async def test_they_may_be_errors(self, path: Path, visits_of: Any, door: UUID) -> None:
        """For projections that must miss nothing."""

        class Strict(visits_of):  # type: ignore[misc]
            unregistered_event_handling: ClassVar[UnregisteredEventHandling] = "error"

        async with Strict(path) as visits:
            with pytest.raises(UnhandledEventError, match="Strict has no handler for Closed"):
                await visits.handle(Closed(aggregate_id=door))

            assert (await visits.get_checkpoint(), len(await visits.failed())) == (None, 1)


class TestResetting:
    async def test_checkpoint_and_read_model_are_forgotten(
        self, visits: Any, event: Opened, caplog: pytest.LogCaptureFixture
    ) -> None:
        """And the log tells of it."""
        await visits.handle(event)

        await visits.reset()

        assert (await visits.numbers(), await visits.get_checkpoint()) == ([], None)
        assert caplog.messages == ["Resetting projection visits"]

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

    async def test_another_projection_in_the_file_keeps_its_own(
        self, path: Path, visits: Any, visits_of: Any, event: Opened
    ) -> None:
        """Checkpoint, rows and dead letters go by the name."""
        async with visits_of(path, name="other") as other:
            await visits.handle(event)
            await other.handle(event)

            await visits.reset()

            assert (await visits.numbers(), await visits.get_checkpoint()) == ([], None)
            assert (await other.numbers(), await other.get_checkpoint()) == ([1], str(event.event_id))
