"""Appending to PostgreSQL, against one insert statement for each append."""

import asyncio
import multiprocessing
import time
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from itertools import count
from typing import Any
from uuid import uuid4

import asyncpg

from benchmarks.measuring import Figure, Latency, compared, latency, stopwatch
from benchmarks.sample import ACCOUNT, Deposited, deposits
from benchmarks.services import PostgreSQL, find
from eventsource import PostgreSQLEventStore, PostgreSQLOptions
from eventsource.stores.announcing import Wake

SIZES = (1, 10, 100)
"""How many events in an append."""
SEQUENTIAL = {1: 200, 10: 100, 100: 30}
CONCURRENT = {1: 16, 10: 8, 100: 2}
"""How many appends in a row, by one writer and by each of several."""
WRITERS = 64
PROCESSES = 4
CONNECTIONS = 10
LISTENERS = (1, 4)
NOTIFICATIONS = 200
HEAD_START = 0.3
"""Seconds in which all processes get ready."""

_numbers = count(1)
"""Options that differ keep stores from sharing what they have."""

_INSERT = """
INSERT INTO {schema}.events (event_id, event_type, event_version, aggregate_id, aggregate_type, version, occurred_at,
    stored_at, payload)
SELECT * FROM unnest($1::uuid[], $2::text[], $3::bigint[], $4::uuid[], $5::text[], $6::bigint[], $7::timestamptz[],
    $8::timestamptz[], $9::json[])
"""


async def run() -> list[Figure | Latency]:
    """Compare one writer, many in one process, and as many in four."""
    figures: list[Figure | Latency] = []
    address = find(PostgreSQL)
    for size in SIZES:
        for what, writers, processes in (
            ("in turn", 1, 1),
            (f"{WRITERS} writers", WRITERS, 1),
            (f"{WRITERS} writers in {PROCESSES} processes", WRITERS // PROCESSES, PROCESSES),
        ):
            work = partial(_measured, address, size, writers, processes)
            ways = {f"{what}, {size} event(s) an append": partial(work, _append), "insert": partial(work, _insert)}
            figures += await compared(ways, "insert")
    for listeners in LISTENERS:
        ways = {
            f"in turn, {listeners} process(es) listen": partial(_notifying, address, listeners),
            "nobody is told": partial(_measured, address, 1, 1, 1, _append),
        }
        figures += await compared(ways, "nobody is told")
    return [*figures, await _until_heard(address)]


async def _notifying(address: str, listeners: int) -> float:
    """Append in turn while so many connections listen."""
    async with _schema(address) as schema, AsyncExitStack() as stack:
        for _ in range(listeners):
            await stack.enter_async_context(_following(address, schema))
        began, ended = await _work(partial(_append, notify=True), address, schema, 1, 1, 0.0)
    return (ended - began) / SEQUENTIAL[1]


async def _until_heard(address: str) -> Latency:
    """Measure how long after an append was acknowledged those are woken who follow over another connection."""
    seconds: list[float] = []
    async with (
        _schema(address) as schema,
        _append(address, schema, 1, notify=True) as write,
        _following(address, schema) as wake,
    ):
        for event in deposits(uuid4(), NOTIFICATIONS):
            wake.clear()
            await write([event])
            with stopwatch() as watch:
                await wake.wait(None)
            seconds.append(watch.seconds)
            await asyncio.sleep(0.005)
    return latency("from the acknowledgement until a follower is woken", seconds)


@asynccontextmanager
async def _following(address: str, schema: str) -> AsyncIterator[Wake]:
    """Follow a log by a store that shares nothing with others; it is woken once when it begins to listen."""
    options = PostgreSQLOptions(schema=schema, max_size=1 + next(_numbers))
    async with PostgreSQLEventStore(f"{address}?application_name=follower", options=options) as store:
        wake = Wake()
        async with store.following(wake):
            await wake.wait(None)
            yield wake


async def _measured(address: str, size: int, writers: int, processes: int, way: Any) -> float:
    """Return the seconds for each append, from when the first process begins until the last one is done."""
    async with _schema(address) as schema:
        job = partial(_work, way, address, schema, size, writers)
        if processes == 1:
            began, ended = await job(time.time())
            spans = [(began, ended)]
        else:
            spans = await _in_processes(job, processes)
    appends = processes * writers * (SEQUENTIAL if writers == 1 else CONCURRENT)[size]
    return (max(end for _, end in spans) - min(begin for begin, _ in spans)) / appends


async def _in_processes(job: Any, processes: int) -> list[tuple[float, float]]:
    loop = asyncio.get_running_loop()
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
        await asyncio.gather(*(loop.run_in_executor(pool, time.sleep, HEAD_START) for _ in range(processes)))
        begin = time.time() + HEAD_START
        return await asyncio.gather(*(loop.run_in_executor(pool, _run, partial(job, begin)) for _ in range(processes)))


def _run(job: Any) -> tuple[float, float]:
    span: tuple[float, float] = asyncio.run(job())
    return span


async def _work(way: Any, address: str, schema: str, size: int, writers: int, begin: float) -> tuple[float, float]:
    """Make ready, wait until *begin*, let all writers write, and return from when to when they did."""
    appends = (SEQUENTIAL if writers == 1 else CONCURRENT)[size]
    accounts = [deposits(uuid4(), size * appends) for _ in range(writers)]
    async with way(address, schema, min(writers, CONNECTIONS)) as write:
        await asyncio.gather(*(write(deposits(uuid4(), 1)) for _ in range(writers)))  # opens all connections
        await asyncio.sleep(max(0.0, begin - time.time()))
        began = time.time()
        await asyncio.gather(*(_write_in_turn(write, events, size) for events in accounts))
        return began, time.time()


async def _write_in_turn(write: Any, events: Sequence[Deposited], size: int) -> None:
    for first in range(0, len(events), size):
        await write(events[first : first + size])


@asynccontextmanager
async def _append(address: str, schema: str, connections: int, *, notify: bool = False) -> AsyncIterator[Any]:
    """Append by the store."""
    options = PostgreSQLOptions(schema=schema, max_size=connections, notify=notify)
    async with PostgreSQLEventStore(address, options=options) as store:

        async def write(events: Sequence[Deposited]) -> None:
            await store.append_events(events[0].aggregate_id, ACCOUNT, events, events[0].aggregate_version - 1)

        yield write


@asynccontextmanager
async def _insert(address: str, schema: str, connections: int) -> AsyncIterator[Any]:
    """Insert the rows: no check but by the unique indexes, no order of positions, and the JSON in the same way."""
    statement = _INSERT.format(schema=f'"{schema}"')

    async def keep(connection: Any) -> None:
        """Leave a connection as it is."""

    async with asyncpg.create_pool(address, min_size=connections, max_size=connections, reset=keep) as pool:

        async def write(events: Sequence[Deposited]) -> None:
            await pool.fetch(statement, *zip(*map(_row, events), strict=True))

        yield write


def _row(event: Deposited) -> tuple[Any, ...]:
    return (
        event.event_id,
        event.event_type,
        event.event_version,
        event.aggregate_id,
        event.aggregate_type,
        event.aggregate_version,
        event.occurred_at,
        event.occurred_at,
        event.model_dump_json(),
    )


@asynccontextmanager
async def _schema(address: str) -> AsyncIterator[str]:
    """Make the table of events in a schema of its own."""
    schema = f"benchmark-{uuid4()}"
    async with PostgreSQLEventStore(address, options=PostgreSQLOptions(schema=schema)):
        pass
    try:
        yield schema
    finally:
        connection = await asyncpg.connect(address)
        await connection.execute(f'DROP SCHEMA "{schema}" CASCADE')
        await connection.close()
