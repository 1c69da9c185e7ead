"""A pool that belongs to somebody else, who has set it up for other work."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from eventsource.databases.postgresql_options import PostgreSQLOptions
from eventsource.projections.dead_letters.postgresql import PostgreSQLDLQRepository
from eventsource.snapshots.postgresql import PostgreSQLSnapshotStore
from eventsource.snapshots.values import Snapshot
from eventsource.stores.postgresql import PostgreSQLEventStore
from eventsource.testing.events import DOOR, opened


async def decode_json(connection: Any) -> None:
    """Have JSON columns come as values."""
    for name in ("json", "jsonb"):
        await connection.set_type_codec(name, schema="pg_catalog", encoder=json.dumps, decoder=json.loads)


@pytest.fixture
async def pool(postgresql_dsn: str) -> AsyncIterator[Any]:
    """A pool whose connections make values of JSON."""
    async with asyncpg.create_pool(postgresql_dsn, min_size=1, max_size=2, init=decode_json) as pool:
        yield pool


@pytest.fixture
def options(schema: str) -> PostgreSQLOptions:
    return PostgreSQLOptions(schema=schema)


async def test_events_are_the_same_by_a_pool_with_a_codec(
    pool: Any, postgresql_dsn: str, options: PostgreSQLOptions, door: UUID
) -> None:
    """Whoever reads what it wrote has no codec, and the other way round."""
    first, second = opened(door, 2)
    async with (
        PostgreSQLEventStore(pool, options=options) as theirs,
        PostgreSQLEventStore(postgresql_dsn, options=options) as ours,
    ):
        await theirs.append_events(door, DOOR, [first], 0, headers={"request": "1"})
        await ours.append_events(door, DOOR, [second], 1, headers={"request": "2"})
        again = await theirs.append_events(door, DOOR, [first], 0)

        read = [await store.read_page() for store in (theirs, ours)]

    assert again.repeated
    assert read[0] == read[1]
    assert [each.event_id for each in read[0]] == [first.event_id, second.event_id]
    assert [each.headers for each in read[0]] == [{"request": "1"}, {"request": "2"}]


async def test_snapshots_are_the_same_by_a_pool_with_a_codec(
    pool: Any, postgresql_dsn: str, options: PostgreSQLOptions
) -> None:
    """The state is not encoded twice."""
    saved = Snapshot(uuid4(), DOOR, 5, {"open": True}, 1, datetime(2026, 5, 1, tzinfo=UTC))
    async with (
        PostgreSQLSnapshotStore(pool, options=options) as theirs,
        PostgreSQLSnapshotStore(postgresql_dsn, options=options) as ours,
    ):
        await theirs.save_snapshot(saved)

        read = [await store.get_snapshot(saved.aggregate_id, saved.aggregate_type) for store in (theirs, ours)]

    assert read == [saved, saved]


async def test_dead_letters_are_the_same_by_a_pool_with_a_codec(
    pool: Any, postgresql_dsn: str, options: PostgreSQLOptions
) -> None:
    """So are their headers."""
    async with (
        PostgreSQLDLQRepository(pool, options=options) as theirs,
        PostgreSQLDLQRepository(postgresql_dsn, options=options) as ours,
    ):
        failed = await theirs.add_failed_event(uuid4(), "visits", DOOR, "{}", LookupError(), headers={"request": "1"})

        read = [await letters.get_failed_event_by_id(failed) for letters in (theirs, ours)]

    assert [entry and entry.headers for entry in read] == [{"request": "1"}, {"request": "1"}]
