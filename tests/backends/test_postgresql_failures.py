"""What happens to those who read and append while sessions, or the whole PostgreSQL, are ended."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any
from uuid import UUID, uuid4

import pytest

from eventsource.databases.postgresql_options import PostgreSQLOptions
from eventsource.databases.postgresql_schema import quoted
from eventsource.exceptions import DatabaseError
from eventsource.projections.checkpoints.postgresql import PostgreSQLCheckpointRepository
from eventsource.stores.postgresql import PostgreSQLEventStore
from eventsource.testing.events import DOOR, Opened, opened
from services.postgresql import PostgreSQL
from services.postgresql_sessions import Sessions
from services.postgresql_writers import PATIENCE, waiting_for
from services.wires import wire_to

Session = Callable[[], Awaitable[Any]]

WRITERS = 8


@pytest.fixture
async def store(sessions: Sessions, schema: str) -> AsyncIterator[PostgreSQLEventStore]:
    async with PostgreSQLEventStore(sessions.address, options=PostgreSQLOptions(schema=schema)) as store:
        yield store


async def ids_in(store: PostgreSQLEventStore) -> list[UUID]:
    """Return the ids of all events, in their order."""
    return [stored.event.event_id async for stored in store.read_all()]


async def exists(event: Opened, store: PostgreSQLEventStore) -> None:
    """Return when *event* stands."""
    async with asyncio.timeout(PATIENCE):
        while not await store.event_exists(event.event_id):  # noqa: ASYNC110 - nobody announces it
            await asyncio.sleep(0.002)


class TestSessions:
    async def test_one_that_ended_is_replaced(
        self, store: PostgreSQLEventStore, sessions: Sessions, door: UUID
    ) -> None:
        """Whoever reads or appends does not notice."""
        await store.append_events(door, DOOR, opened(door, 1), 0)
        ended = await sessions.terminate()
        version = await store.get_stream_version(door, DOOR)
        ended += await sessions.terminate()
        result = await store.append_events(door, DOOR, opened(door, 1), 1)

        assert (version, result.new_version, len(set(ended))) == (1, 2, 2)
        assert not set(ended) & set(await sessions.pids())

    async def test_all_that_were_open_may_have_ended(
        self, store: PostgreSQLEventStore, sessions: Sessions, door: UUID
    ) -> None:
        """Nobody is given one of them and told that it was lost."""
        await store.append_events(door, DOOR, opened(door, 1), 0)
        await asyncio.gather(*(store.get_events(door) for _ in range(32)))
        ended = await sessions.terminate()

        streams = await asyncio.gather(*(store.get_events(door) for _ in range(32)))

        assert len(ended) > 1
        assert {stream.version for stream in streams} == {1}

    async def test_a_read_whose_session_ends_is_repeated(
        self, store: PostgreSQLEventStore, sessions: Sessions, schema: str, session: Session, door: UUID
    ) -> None:
        """On another one, while it is under way."""
        await store.append_events(door, DOOR, opened(door, 1), 0)
        other, observer = await session(), await session()
        async with other.transaction():
            await other.execute(f"LOCK TABLE {quoted(schema)}.events")
            reading = asyncio.create_task(store.get_events(door))
            first = await waiting_for(other, 1, observer)
            await sessions.terminate()
            second = await waiting_for(other, 1, observer)

        assert (await asyncio.wait_for(reading, PATIENCE)).version == 1
        assert first != second

    async def test_a_read_that_loses_two_is_told_so(
        self, store: PostgreSQLEventStore, sessions: Sessions, schema: str, session: Session, door: UUID
    ) -> None:
        """It does not go on for ever; the next one is served."""
        other, observer = await session(), await session()
        async with other.transaction():
            await other.execute(f"LOCK TABLE {quoted(schema)}.events")
            reading = asyncio.create_task(store.get_events(door))
            for _ in range(2):
                await waiting_for(other, 1, observer)
                await sessions.terminate()
            with pytest.raises(DatabaseError, match="nothing was read"):
                await asyncio.wait_for(reading, PATIENCE)

        assert (await store.get_events(door)).version == 0

    async def test_a_transaction_that_loses_its_own_is_undone(
        self, sessions: Sessions, schema: str, session: Session
    ) -> None:
        """Its caller is told, since only he knows whether it may be repeated."""
        options = PostgreSQLOptions(schema=schema)
        async with PostgreSQLCheckpointRepository(sessions.address, options=options) as checkpoints:
            await checkpoints.save_position("doors", 1, None, None)
            other = await session()
            async with other.transaction():
                await other.execute(f"SELECT FROM {quoted(schema)}.projection_checkpoints FOR UPDATE")
                saving = asyncio.create_task(checkpoints.save_position("doors", 2, None, None))
                await waiting_for(other, 1, await session())
                await sessions.terminate()
                with pytest.raises(DatabaseError):
                    await asyncio.wait_for(saving, PATIENCE)

            assert await checkpoints.get_position("doors") == 1

    async def test_appends_are_written_once_however_many_end(
        self, store: PostgreSQLEventStore, sessions: Sessions
    ) -> None:
        """Each that was acknowledged stands once; one that was not is asked for again, and stands once."""
        events = [Opened(aggregate_id=uuid4()) for _ in range(WRITERS * 25)]

        async def write(own: list[Opened]) -> None:
            for event in own:
                while True:
                    with suppress(DatabaseError):
                        await store.append_events(event.aggregate_id, DOOR, [event], 0)
                        break

        async with asyncio.timeout(PATIENCE):
            writing = asyncio.gather(*(write(events[number::WRITERS]) for number in range(WRITERS)))
            ended: list[int] = []
            while not writing.done():
                ended += await sessions.terminate()
            await writing

        assert sorted(await ids_in(store)) == sorted(event.event_id for event in events)
        assert ended


class TestWires:
    async def test_an_append_whose_answer_is_lost_stands_once(
        self, postgresql_dsn: str, schema: str, door: UUID
    ) -> None:
        """It was committed, and the repetition finds it: nobody is told of an error."""
        options = PostgreSQLOptions(schema=schema)
        events = opened(door, 2)
        async with wire_to(postgresql_dsn) as (wire, address), PostgreSQLEventStore(address, options=options) as store:
            await store.append_events(door, DOOR, opened(door, 1), 0)
            async with PostgreSQLEventStore(postgresql_dsn, options=options) as other:
                wire.mute()
                appending = asyncio.create_task(store.append_events(door, DOOR, events, 1))
                await exists(events[-1], other)
                early = appending.done()
                wire.cut()
                result = await asyncio.wait_for(appending, PATIENCE)

                assert (early, result.new_version, result.repeated) == (False, 3, True)
                assert (await ids_in(other))[1:] == [event.event_id for event in events]

    async def test_one_that_is_broken_is_told(self, postgresql_dsn: str, schema: str, door: UUID) -> None:
        """Everything that is asked ends, and so does closing."""
        options = PostgreSQLOptions(schema=schema)
        async with (
            asyncio.timeout(PATIENCE),
            wire_to(postgresql_dsn) as (wire, address),
            PostgreSQLEventStore(address, options=options) as store,
        ):
            wire.break_off()

            for use in (store.get_events(door), store.append_events(door, DOOR, opened(door, 1), 0)):
                with pytest.raises(DatabaseError):
                    await use


class TestServers:
    async def test_one_that_was_killed_and_started_is_used_again(
        self, start_postgresql: Callable[..., PostgreSQL], door: UUID
    ) -> None:
        """What was acknowledged is there; meanwhile everybody is told that there is nobody."""
        server = await asyncio.to_thread(start_postgresql)
        async with asyncio.timeout(3 * PATIENCE), PostgreSQLEventStore(server.address) as store:
            await store.append_events(door, DOOR, opened(door, 1), 0)
            await asyncio.to_thread(server.kill)
            for use in (store.get_events(door), store.append_events(door, DOOR, opened(door, 1), 1)):
                with pytest.raises(DatabaseError, match="nothing was"):
                    await use
            await asyncio.to_thread(server.start)

            before = await store.get_stream_version(door, DOOR)
            result = await store.append_events(door, DOOR, opened(door, 1), 1)

        assert (before, result.new_version) == (1, 2)

    @pytest.mark.parametrize("end", ["kill", "stop"])
    async def test_one_that_ends_under_appends_loses_none(
        self, start_postgresql: Callable[..., PostgreSQL], until: Callable[..., Awaitable[None]], end: str
    ) -> None:
        """Those who try again until they are answered find each of their events once."""
        server = await asyncio.to_thread(start_postgresql)
        events = [Opened(aggregate_id=uuid4()) for _ in range(WRITERS)]
        written: list[UUID] = []

        async def write(event: Opened) -> None:
            for version in range(50):
                each = event.model_copy(update={"event_id": uuid4()})
                while True:
                    try:
                        await store.append_events(event.aggregate_id, DOOR, [each], version)
                        break
                    except DatabaseError:
                        await asyncio.sleep(0.01)
                written.append(each.event_id)

        async with asyncio.timeout(3 * PATIENCE), PostgreSQLEventStore(server.address) as store:
            writing = asyncio.gather(*(write(event) for event in events))
            await until(lambda: len(written) >= WRITERS)
            await asyncio.to_thread(getattr(server, end))
            await asyncio.to_thread(server.start)
            await writing

            assert sorted(await ids_in(store)) == sorted(written)
