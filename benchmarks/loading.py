"""Loading an aggregate from a SQLite file."""

import sqlite3
from contextlib import closing
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import UUID, uuid4

from benchmarks.measuring import Figure, compared, stopwatch
from benchmarks.sample import ACCOUNT, Account, Deposited, deposits
from eventsource import AggregateRepository, SQLiteEventStore, SQLiteSnapshotStore

LOADS = {100: 30, 1000: 5}
"""How many events the aggregate has, and how often it is loaded."""

_PAYLOADS = "SELECT payload FROM events WHERE aggregate_id = ? AND aggregate_type = ? ORDER BY version"


async def run() -> list[Figure]:
    """Compare with reading rows and validating them by hand, and loading by snapshot with loading all events."""
    figures = []
    for events, loads in LOADS.items():
        with TemporaryDirectory() as directory:
            path, aggregate_id = Path(directory) / "events.db", uuid4()
            async with SQLiteEventStore(path) as store, SQLiteSnapshotStore(path) as snapshots:
                await store.append_events(aggregate_id, ACCOUNT, deposits(aggregate_id, events), 0)
                replaying = AggregateRepository(store, Account, ACCOUNT)
                restoring = AggregateRepository(store, Account, ACCOUNT, snapshot_store=snapshots)
                await restoring.create_snapshot(await replaying.load(aggregate_id))
                by_events = partial(_load, replaying, aggregate_id, loads)
                by_snapshot = partial(_load, restoring, aggregate_id, loads)
                by_hand = partial(_by_hand, path, aggregate_id, loads)
                load, hand = f"load of {events} events", "rows and model_validate_json"
                figures += await compared({load: by_events, hand: by_hand}, hand)
                figures += await compared({f"{load}, by snapshot": by_snapshot, load: by_events}, load)
    return figures


async def _load(repository: AggregateRepository[Account], aggregate_id: UUID, loads: int) -> float:
    with stopwatch() as watch:
        for _ in range(loads):
            await repository.load(aggregate_id)
    return watch.seconds / loads


async def _by_hand(path: Path, aggregate_id: UUID, loads: int) -> float:
    """Make the events, on the thread that wants them, and apply them to nothing."""
    with closing(sqlite3.connect(path)) as connection, stopwatch() as watch:
        for _ in range(loads):
            rows = connection.execute(_PAYLOADS, (str(aggregate_id), ACCOUNT)).fetchall()
            [Deposited.model_validate_json(payload) for (payload,) in rows]
    return watch.seconds / loads
