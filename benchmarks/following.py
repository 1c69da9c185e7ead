"""Projections that catch up with a SQLite file, and that follow it."""

import asyncio
import multiprocessing
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing, suppress
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple, TypeAlias
from uuid import UUID, uuid4

from benchmarks.measuring import Figure, Latency, compared, latency, stopwatch
from benchmarks.sample import ACCOUNT, Deposited, deposits
from eventsource import (
    DeclarativeProjection,
    ProjectionRunner,
    ReadOptions,
    SQLiteCheckpointRepository,
    SQLiteEventStore,
    SQLiteProjection,
    handles,
)

EVENTS = 20_000


class Flow(NamedTuple):
    """How many events are appended one after the other; there is a pause after every few of them."""

    events: int
    between_pauses: int = 1
    pause: float = 0.0


FLOWS = {
    "about 100 events a second": Flow(300, pause=0.01),
    "20 events after each second of silence": Flow(160, between_pauses=20, pause=1.0),
    "as fast as it can": Flow(2_000),
}

Moments: TypeAlias = dict[UUID, int]
"""When something happened to each event, in nanoseconds of the monotonic clock, which all processes share."""

HandledUpTo: TypeAlias = Callable[[int], Awaitable[Moments]]
"""Waits until everything up to a position was handled, and returns when each event was."""

Following: TypeAlias = Callable[[Path], AbstractAsyncContextManager[HandledUpTo]]


class Totals(DeclarativeProjection):
    """A read model in memory."""

    amount = 0

    @handles(Deposited)
    async def on_deposited(self, event: Deposited) -> None:
        """Add up what came in."""
        self.amount += event.amount


class Balances(SQLiteProjection):
    """A read model of one row in the file that has the events."""

    def _create_tables(self, connection: sqlite3.Connection) -> None:
        connection.execute("CREATE TABLE IF NOT EXISTS balances (amount INTEGER, position INTEGER)")
        connection.execute("INSERT INTO balances SELECT 0, 0 WHERE NOT EXISTS (SELECT 1 FROM balances)")

    @handles(Deposited)
    def on_deposited(self, connection: sqlite3.Connection, event: Deposited) -> None:
        """Add up what came in."""
        connection.execute("UPDATE balances SET amount = amount + ?", (event.amount,))


class Watching(DeclarativeProjection):
    """Notes when it handles each event."""

    def __init__(self, checkpoints: SQLiteCheckpointRepository) -> None:
        super().__init__(checkpoints)
        self.moments: Moments = {}

    @handles(Deposited)
    async def on_deposited(self, event: Deposited) -> None:
        """Note it."""
        self.moments[event.event_id] = time.monotonic_ns()


async def run() -> list[Figure | Latency]:
    """Compare catching up with doing so by hand, and measure how late following is, in two processes and in one."""
    figures: list[Figure | Latency] = []
    with TemporaryDirectory() as directory:
        async with SQLiteEventStore(Path(directory) / "events.db") as store:
            aggregate_id = uuid4()
            await store.append_events(aggregate_id, ACCOUNT, deposits(aggregate_id, EVENTS), 0)
            for projection, peer, ways in (
                ("plain projection", "read_all and calls", (_plain, _calls)),
                ("SQLite projection", "read_page and sqlite3", (_transactional, _by_hand)),
            ):
                named = {name: partial(way, store) for name, way in zip((projection, peer), ways, strict=True)}
                figures += await compared(named, peer, "catching up: ")
    for where, following in {"two processes": _following_elsewhere, "one process": _following_here}.items():
        for name, flow in FLOWS.items():
            figures.append(latency(f"{where}: {name}", await _delays(flow, following)))
    return figures


async def _plain(store: SQLiteEventStore) -> float:
    async with SQLiteCheckpointRepository(store.database) as checkpoints:
        return await _caught_up(store, Totals(checkpoints, name=str(uuid4())))


async def _calls(store: SQLiteEventStore) -> float:
    """Read everything and await the handler."""
    totals = Totals()
    with stopwatch() as watch:
        async for stored in store.read_all():
            if isinstance(stored.event, Deposited):
                await totals.on_deposited(stored.event)
    return watch.seconds / EVENTS


async def _transactional(store: SQLiteEventStore) -> float:
    async with Balances(store.database, name=str(uuid4())) as balances:
        return await _caught_up(store, balances)


async def _by_hand(store: SQLiteEventStore) -> float:
    """Read a page, write what its events say and how far that is in one transaction, and so on, on one thread."""
    position = 0
    with closing(sqlite3.connect(store.database, isolation_level=None)) as connection, stopwatch() as watch:
        connection.execute("PRAGMA synchronous = FULL")
        while page := await store.read_page(options=ReadOptions(from_position=position, limit=500)):
            connection.execute("BEGIN IMMEDIATE")
            for stored in page:
                if isinstance(stored.event, Deposited):
                    connection.execute("UPDATE balances SET amount = amount + ?", (stored.event.amount,))
            position = page[-1].global_position
            connection.execute("UPDATE balances SET position = ?", (position,))
            connection.execute("COMMIT")
    return watch.seconds / EVENTS


async def _caught_up(store: SQLiteEventStore, projection: Totals | Balances) -> float:
    with stopwatch() as watch:
        async with ProjectionRunner(store, projection) as runner:
            await runner.wait_for()
    return watch.seconds / EVENTS


async def _delays(flow: Flow, following: Following) -> list[float]:
    """Return of each event how many seconds after it was acknowledged it was handled."""
    with TemporaryDirectory() as directory:
        path = Path(directory) / "events.db"
        async with SQLiteEventStore(path) as store, following(path) as handled_up_to:
            acknowledged = await _append(store, flow)
            handled = await handled_up_to(await store.get_global_position())
    return [(handled[event_id] - moment) / 1e9 for event_id, moment in acknowledged.items()]


async def _append(store: SQLiteEventStore, flow: Flow) -> Moments:
    acknowledged = {}
    for version, event in enumerate(deposits(uuid4(), flow.events)):
        if flow.pause and version % flow.between_pauses == 0:
            await asyncio.sleep(flow.pause)
        await store.append_events(event.aggregate_id, ACCOUNT, [event], version)
        acknowledged[event.event_id] = time.monotonic_ns()
    return acknowledged


@asynccontextmanager
async def _following_here(path: Path) -> AsyncIterator[HandledUpTo]:
    async with SQLiteEventStore(path) as store, SQLiteCheckpointRepository(path) as checkpoints:
        watching = Watching(checkpoints)
        async with ProjectionRunner(store, watching) as runner:
            await runner.wait_for()

            async def handled_up_to(position: int) -> Moments:
                await runner.wait_for(position)
                return watching.moments

            yield handled_up_to


@asynccontextmanager
async def _following_elsewhere(path: Path) -> AsyncIterator[HandledUpTo]:
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_follow, args=(path, there), daemon=True)
    process.start()
    there.close()

    async def handled_up_to(position: int) -> Moments:
        here.send(position)
        moments: Moments = await asyncio.to_thread(here.recv)
        return moments

    try:
        await asyncio.to_thread(here.recv)
        yield handled_up_to
    finally:
        here.close()
        await asyncio.to_thread(process.join)


def _follow(path: Path, pipe: Connection) -> None:
    """Follow the file in a process of its own, until whoever started it asks for the moments or is gone."""

    async def follow() -> None:
        async with _following_here(path) as handled_up_to:
            pipe.send("it follows")
            pipe.send(await handled_up_to(await asyncio.to_thread(pipe.recv)))

    with suppress(EOFError):
        asyncio.run(follow())
