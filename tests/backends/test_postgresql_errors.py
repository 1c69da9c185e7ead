"""What a PostgreSQL that cannot be used is said to be, and that nobody waits for one that does not answer."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import asyncpg
import pytest

from eventsource.databases.postgresql_options import PostgreSQLOptions
from eventsource.databases.postgresql_schema import quoted
from eventsource.exceptions import DatabaseError
from eventsource.projections.checkpoints.postgresql import PostgreSQLCheckpointRepository
from eventsource.snapshots.postgresql import PostgreSQLSnapshotStore
from eventsource.stores.postgresql import PostgreSQLEventStore
from eventsource.testing.events import DOOR, opened
from services.postgresql import PostgreSQL
from services.postgresql_writers import PATIENCE, waiting_for
from services.processes import free_ports

Start = Callable[..., PostgreSQL]

IMPATIENT = PostgreSQLOptions(connect_timeout=0.3, command_timeout=0.3)

USES: dict[str, Callable[[PostgreSQLEventStore, UUID], Any]] = {
    "append_events": lambda store, door: store.append_events(door, DOOR, opened(door, 1), 0),
    "get_events": lambda store, door: store.get_events(door),
    "read_page": lambda store, door: store.read_page(),
    "get_global_position": lambda store, door: store.get_global_position(),
}
every_use = pytest.mark.parametrize("use", USES.values(), ids=USES)


@pytest.fixture
def options(schema: str) -> PostgreSQLOptions:
    return PostgreSQLOptions(schema=schema)


class TestConnecting:
    async def test_nobody_who_listens_is_told(self) -> None:
        """Where it was looked for, but not with which password; the driver's error is the cause."""
        [port] = free_ports(1)
        store = PostgreSQLEventStore(f"postgresql://ann:secret@127.0.0.1:{port}/shop")

        with pytest.raises(DatabaseError, match=rf"at 127\.0\.0\.1:{port}/shop: .*nothing was done") as caught:
            await store.initialize()

        assert isinstance(caught.value.__cause__, OSError)
        assert ("secret" in told(caught.value), store.is_connected) == (False, False)

    async def test_a_host_that_nobody_knows_is_told(self) -> None:
        """As any other that cannot be reached."""
        store = PostgreSQLEventStore("postgresql://ann:secret@nowhere.invalid/shop")

        with pytest.raises(DatabaseError, match=r"PostgreSQL at nowhere\.invalid/shop: .*nothing was done") as caught:
            await store.initialize()

        assert "secret" not in told(caught.value)

    async def test_a_database_that_is_missing_is_to_be_created(self, postgresql_dsn: str) -> None:
        """That is for its owner to do."""
        store = PostgreSQLEventStore(postgresql_dsn.rpartition("/")[0] + "/nowhere")

        with pytest.raises(DatabaseError, match='database "nowhere" does not exist; nothing was done; create the data'):
            await store.initialize()

    @pytest.mark.parametrize("setting", ["sslmode=perhaps", "target_session_attrs=none"])
    async def test_an_address_that_the_driver_does_not_understand_is_told(self, setting: str) -> None:
        """Its reason is said, and the password is not."""
        store = PostgreSQLEventStore(f"postgresql://ann:secret@127.0.0.1/shop?{setting}")

        with pytest.raises(DatabaseError, match=setting.partition("=")[0]) as caught:
            await store.initialize()

        assert "secret" not in told(caught.value)

    @pytest.mark.parametrize(
        "address", ["postgresql://ann:secret@[::1/shop", "postgresql://ann:secret@127.0.0.1:x/shop"]
    )
    async def test_an_address_of_a_wrong_form_is_told(self, address: str) -> None:
        """When it is opened at the latest, and without the password."""
        with pytest.raises((DatabaseError, ValueError)) as caught:
            await PostgreSQLEventStore(address).initialize()

        assert "secret" not in told(caught.value)

    async def test_a_server_without_a_connection_left_is_told(self, start_postgresql: Start) -> None:
        """It says which numbers matter, and the store can be opened when others have gone."""
        server = await asyncio.to_thread(
            start_postgresql, settings={"max_connections": "4", "superuser_reserved_connections": "0"}
        )
        others = await all_connections(server.address)
        store = PostgreSQLEventStore(server.address)

        with pytest.raises(DatabaseError, match=r"too many clients.*lower max_size, or raise its max_connections"):
            await store.initialize()

        for other in others:
            await other.close()
        async with store:
            assert await store.get_global_position() == 0

    async def test_who_waits_too_long_for_a_connection_is_told(
        self, postgresql_dsn: str, options: PostgreSQLOptions, door: UUID, session: Callable[[], Awaitable[Any]]
    ) -> None:
        """When all of the pool are taken by others of the same program."""
        narrow = replace(options, max_size=1, connect_timeout=0.2)
        async with PostgreSQLEventStore(postgresql_dsn, options=narrow) as store:
            other = await session()
            async with other.transaction():
                await other.execute("LOCK TABLE events IN SHARE MODE")
                appending = asyncio.create_task(USES["append_events"](store, door))
                await waiting_for(other, 1, await session())
                with pytest.raises(DatabaseError, match="nothing was done; it did not answer in time"):
                    await store.get_global_position()

            assert (await asyncio.wait_for(appending, PATIENCE)).new_version == 1


class TestPasswords:
    @pytest.fixture
    async def server(self, start_postgresql: Start) -> PostgreSQL:
        """One that asks ann for a password."""
        server: PostgreSQL = await asyncio.to_thread(start_postgresql)
        owner = await asyncpg.connect(server.address)
        data = await owner.fetchval("SHOW data_directory")
        await owner.execute("CREATE ROLE ann LOGIN PASSWORD 'secret'; GRANT CREATE ON DATABASE postgres TO ann")
        lines = "host all ann all scram-sha-256\nhost all all all trust\n"
        await owner.execute(f"COPY (SELECT unnest(string_to_array('{lines}', E'\\n'))) TO '{data}/pg_hba.conf'")
        await owner.execute("SELECT pg_reload_conf()")
        await owner.close()
        return server

    async def test_the_right_one_is_taken(self, server: PostgreSQL) -> None:
        """Whatever is in it: an address quotes it."""
        options = PostgreSQLOptions(schema="shop")
        async with PostgreSQLEventStore(as_ann(server, "secret"), options=options) as store:
            assert await store.get_global_position() == 0

    @pytest.mark.parametrize("password", ["sesame", "%40sesame%2F", ""])
    async def test_a_wrong_one_is_told_and_not_shown(self, server: PostgreSQL, password: str) -> None:
        """The error says who was refused, and where."""
        store = PostgreSQLEventStore(as_ann(server, password))

        with pytest.raises(DatabaseError, match="nothing was done; check user and password") as caught:
            await store.initialize()

        assert "sesame" not in told(caught.value)


class TestReadOnlyServers:
    async def test_an_append_says_where_to_go(
        self, postgresql_dsn: str, options: PostgreSQLOptions, door: UUID
    ) -> None:
        """What is there can be read."""
        async with PostgreSQLEventStore(postgresql_dsn, options=options) as primary:
            await primary.append_events(door, DOOR, opened(door, 1), 0)

        address = f"{postgresql_dsn}?default_transaction_read_only=on"
        async with PostgreSQLEventStore(address, options=options) as replica:
            with pytest.raises(DatabaseError, match="nothing was written; this server is read-only: give the address"):
                await replica.append_events(door, DOOR, opened(door, 1), 1)

            assert (await replica.get_events(door)).version == 1

    async def test_one_without_tables_says_so(self, postgresql_dsn: str, options: PostgreSQLOptions) -> None:
        """Nothing can be created there."""
        store = PostgreSQLEventStore(f"{postgresql_dsn}?default_transaction_read_only=on", options=options)

        with pytest.raises(DatabaseError, match="this server is read-only"):
            await store.initialize()

        assert not store.is_connected


class TestSilentServers:
    @pytest.fixture
    async def server(self, start_postgresql: Start) -> AsyncIterator[PostgreSQL]:
        server: PostgreSQL = await asyncio.to_thread(start_postgresql)
        yield server
        await asyncio.to_thread(server.thaw)

    @every_use
    async def test_every_call_ends_in_its_time(self, server: PostgreSQL, door: UUID, use: Callable[..., Any]) -> None:
        """On a connection that is open, and on a new one; closing does, too."""
        async with asyncio.timeout(PATIENCE):
            async with PostgreSQLEventStore(server.address, options=IMPATIENT) as store:
                await asyncio.to_thread(server.freeze)
                for _ in range(2):
                    with pytest.raises(DatabaseError, match="it did not answer in time: raise connect_timeout or comm"):
                        await use(store, door)

            assert not store.is_connected

    async def test_what_an_append_has_done_is_not_known(self, server: PostgreSQL, door: UUID) -> None:
        """So the error says; the same events may be appended again, and stand once."""
        events = opened(door, 2)
        async with asyncio.timeout(PATIENCE), PostgreSQLEventStore(server.address, options=IMPATIENT) as store:
            await asyncio.to_thread(server.freeze)
            with pytest.raises(DatabaseError, match="it is not known whether anything was written"):
                await store.append_events(door, DOOR, events, 0)
            await asyncio.to_thread(server.thaw)

            await store.append_events(door, DOOR, events, 0)

            assert [stored.event.event_id for stored in await store.read_page()] == [each.event_id for each in events]

    async def test_opening_ends_in_its_time(self, server: PostgreSQL) -> None:
        """All stores can be opened when it answers again."""
        kinds = (PostgreSQLEventStore, PostgreSQLSnapshotStore, PostgreSQLCheckpointRepository)
        stores: list[Any] = [kind(server.address, options=IMPATIENT) for kind in kinds]
        async with asyncio.timeout(PATIENCE):
            await asyncio.to_thread(server.freeze)
            outcomes = await asyncio.gather(*(store.initialize() for store in stores), return_exceptions=True)
            await asyncio.to_thread(server.thaw)

            assert [type(each) for each in outcomes] == [DatabaseError] * 3
            for store in stores:
                async with store:
                    assert store.is_connected

    async def test_a_transaction_ends_in_its_time(self, server: PostgreSQL) -> None:
        """A lease that could not be had is an error."""
        leases = PostgreSQLCheckpointRepository(server.address, options=IMPATIENT)
        async with asyncio.timeout(PATIENCE), leases:
            await asyncio.to_thread(server.freeze)

            with pytest.raises(DatabaseError, match="it did not answer in time"):
                await leases.acquire_lease("doors", "ann", 1.0)

    async def test_closing_with_calls_under_way_ends_in_its_time(self, server: PostgreSQL, door: UUID) -> None:
        """Each of them is answered."""
        store = PostgreSQLEventStore(server.address, options=IMPATIENT)
        await store.initialize()
        async with asyncio.timeout(PATIENCE):
            await asyncio.to_thread(server.freeze)
            tasks = [asyncio.create_task(use(store, door)) for use in USES.values()]
            await asyncio.sleep(0)
            await store.close()
            outcomes = await asyncio.gather(*tasks, return_exceptions=True)

        assert [type(each) for each in outcomes] == [DatabaseError] * len(USES)

    async def test_a_cancelled_call_ends_in_its_time(self, server: PostgreSQL, door: UUID) -> None:
        """Whoever cancels does not wait for the statement's end."""
        options = replace(IMPATIENT, command_timeout=2 * PATIENCE)
        async with asyncio.timeout(PATIENCE), PostgreSQLEventStore(server.address, options=options) as store:
            await store.initialize()
            await asyncio.to_thread(server.freeze)
            tasks = [asyncio.create_task(use(store, door)) for use in USES.values()]
            await asyncio.sleep(0.05)
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            await asyncio.to_thread(server.thaw)

        assert [task.cancelled() for task in tasks] == [True] * len(USES)


async def test_a_statement_that_takes_too_long_is_cancelled(
    postgresql_dsn: str, options: PostgreSQLOptions, session: Callable[[], Awaitable[Any]]
) -> None:
    """Also at the server, which has nothing to do for it any more."""
    hasty = replace(options, command_timeout=0.2)
    async with PostgreSQLEventStore(postgresql_dsn, options=hasty) as store:
        other = await session()
        async with other.transaction():
            await other.execute(f"LOCK TABLE {quoted(options.schema)}.events")
            with pytest.raises(DatabaseError, match="did not answer in time: raise connect_timeout or command_timeout"):
                await store.read_page()
            query = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'events'::regclass"
            waiting = await other.fetchval(query)

        assert (waiting, await store.read_page()) == (0, [])


def told(error: BaseException) -> str:
    """Return all that somebody who logs *error* would show."""
    return f"{error} {error!r} {error.__cause__} {error.__cause__!r}"


def as_ann(server: PostgreSQL, password: str) -> str:
    """Return the address by which ann connects."""
    url = urlsplit(server.address)
    return url._replace(netloc=f"ann:{password}@{url.hostname}:{url.port}").geturl()


async def all_connections(address: str) -> list[Any]:
    """Return all connections that a server has left."""
    taken: list[Any] = []
    while True:
        try:
            taken.append(await asyncpg.connect(address))
        except asyncpg.TooManyConnectionsError:
            return taken
