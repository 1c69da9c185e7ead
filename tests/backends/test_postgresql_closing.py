"""What becomes of appends that wait for a PostgreSQL when their store is closed."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeAlias
from uuid import uuid4

import pytest

from eventsource.databases.postgresql_options import PostgreSQLOptions
from eventsource.exceptions import NotConnectedError
from eventsource.stores.postgresql import PostgreSQLEventStore
from eventsource.stores.values import AppendResult
from eventsource.testing.events import Opened
from services.postgresql_appends import Gate, appends, calls_under_way, outcomes, shared
from services.postgresql_writers import PATIENCE

Execute: TypeAlias = Callable[..., Awaitable[list[tuple[Any, ...]]]]


@pytest.fixture
async def store(postgresql_dsn: str, schema: str) -> AsyncIterator[PostgreSQLEventStore]:
    async with PostgreSQLEventStore(postgresql_dsn, options=PostgreSQLOptions(schema=schema)) as store:
        yield store


@pytest.fixture
async def gate(store: PostgreSQLEventStore, schema: str, session: Callable[[], Awaitable[Any]]) -> Gate:
    """Lets no call through as long as it is closed, which it is inside the block."""
    return Gate(await session(), await session(), schema, Opened(aggregate_id=uuid4()))


@pytest.fixture
def address(postgresql_dsn: str) -> str:
    """That of connections which can be told from all others."""
    return f"{postgresql_dsn}?application_name=closing-{uuid4()}"


@pytest.fixture
async def closed(store: PostgreSQLEventStore, address: str) -> PostgreSQLEventStore:
    """A store on the same log, for the test to close."""
    closed = PostgreSQLEventStore(address, options=store.options)
    await closed.initialize()
    return closed


@pytest.fixture
def disconnected(address: str, execute: Execute) -> Callable[[], Awaitable[None]]:
    """Wait until the server has no connection left of those."""
    query = "SELECT FROM pg_stat_activity WHERE application_name = $1"

    async def wait() -> None:
        async with asyncio.timeout(PATIENCE):
            while await execute(query, address.partition("=")[2]):  # noqa: ASYNC110 - the server tells nobody
                await asyncio.sleep(0.01)

    return wait


async def test_closing_answers_every_append(closed: PostgreSQLEventStore, gate: Gate) -> None:
    """All that were asked for before are written."""
    async with gate:
        tasks = [*await calls_under_way(closed, gate), *appends(closed, *[1] * 64)]
        await asyncio.sleep(0)
        closing = asyncio.create_task(closed.close())
        await asyncio.sleep(0)
        early = closing.done()

    await asyncio.wait_for(closing, PATIENCE)
    assert (early, all(task.done() for task in tasks), closed.is_connected) == (False, True, False)
    assert {type(result) for result in await outcomes(tasks)} == {AppendResult}


async def test_what_comes_after_it_is_told_that_the_store_is_closed(closed: PostgreSQLEventStore, gate: Gate) -> None:
    """Otherwise closing would have no end."""
    async with gate:
        tasks = await calls_under_way(closed, gate)
        closing = asyncio.create_task(closed.close())
        await asyncio.sleep(0)
        late = appends(closed, 1)
        await asyncio.sleep(0)

    await asyncio.wait_for(closing, PATIENCE)
    assert await outcomes(late) == [NotConnectedError]
    assert await shared(tasks) == [1, 1]


async def test_a_cancelled_closing_answers_every_append(
    closed: PostgreSQLEventStore, gate: Gate, disconnected: Callable[[], Awaitable[None]]
) -> None:
    """Whoever closes has made a promise to those who wait, and disconnects before giving up."""
    async with gate:
        tasks = [*await calls_under_way(closed, gate), *appends(closed, *[1] * 8)]
        await asyncio.sleep(0)
        closing = asyncio.create_task(closed.close())
        await asyncio.sleep(0)
        closing.cancel()

    await asyncio.wait([closing], timeout=PATIENCE)
    assert (closing.cancelled(), closed.is_connected) == (True, False)
    assert all(task.done() for task in tasks)
    assert {type(result) for result in await outcomes(tasks)} == {AppendResult}
    await disconnected()


async def test_a_closing_that_is_cancelled_twice_disconnects(
    closed: PostgreSQLEventStore, gate: Gate, disconnected: Callable[[], Awaitable[None]]
) -> None:
    """However impatient somebody is: nobody waits for ever, and no connection is left behind."""
    async with gate:
        tasks = [*await calls_under_way(closed, gate), *appends(closed, *[1] * 8)]
        closing = asyncio.create_task(closed.close())
        for _ in range(2):
            await asyncio.sleep(0)
            closing.cancel()
        await asyncio.sleep(0)

    await asyncio.wait([closing], timeout=PATIENCE)
    await outcomes(tasks)
    assert closing.cancelled()
    await disconnected()
