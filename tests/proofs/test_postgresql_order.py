"""Whoever follows the log in PostgreSQL by position misses nothing, whatever is committed in which order."""

import asyncio
import subprocess
from collections.abc import Callable
from itertools import pairwise

import asyncpg

from eventsource.databases.postgresql_options import PostgreSQLOptions
from eventsource.stores.postgresql import PostgreSQLEventStore

PROCESSES, CONNECTIONS = 4, 3
PATIENCE = 120
KINDS = ("library", "naive")

Process = subprocess.Popen[str]
Seen = tuple[int, str, int]

NAIVE = 'CREATE TABLE "{schema}".naive (position bigserial PRIMARY KEY, value text NOT NULL)'
# Deferred, it runs at the commit, behind all that the transaction has done: this stays open for so long.
LINGER = """
CREATE FUNCTION "{schema}".linger() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF random() < 0.05 THEN
        PERFORM pg_sleep(random() * 0.02);
    END IF;
    RETURN NULL;
END $$
"""
LINGERING = """
CREATE CONSTRAINT TRIGGER lingers AFTER INSERT ON "{schema}".{table} DEFERRABLE INITIALLY DEFERRED
FOR EACH ROW EXECUTE FUNCTION "{schema}".linger()
"""


def test_a_follower_misses_nothing_where_a_plain_table_loses_rows(
    postgresql_dsn: str,
    schema: str,
    start: Callable[..., Process],
    size: Callable[[int, int], int],
    report: Callable[[str], None],
) -> None:
    """Some transactions stay open for milliseconds; the same follower sees every event, and not every row."""
    seconds = size(5, 60)
    asyncio.run(_create(postgresql_dsn, schema))
    place = (postgresql_dsn, schema)

    following = [start("postgresql_following.py", kind, *place) for kind in KINDS]
    writing = [start("postgresql_writing.py", *place, CONNECTIONS, seconds, seed) for seed in range(PROCESSES)]
    acknowledged = [sum(each) for each in zip(*map(_written, writing), strict=True)]
    events, rows = map(_seen, following)

    log, table = asyncio.run(_positions(*place))
    lost, naive_lost = _lost(log, events), _lost(table, rows)
    assert [len(log), len(table)] == acknowledged
    assert lost == set()
    assert len(events) == len(log)
    assert _out_of_order(events) == []
    assert naive_lost
    writers = f"{PROCESSES * CONNECTIONS} connections in {PROCESSES} processes for {seconds} s"
    report(
        f"{writers}: {len(log)} events, {len(lost)} lost, 0 twice, 0 out of order; "
        f"of {len(table)} rows of a plain table {len(naive_lost)} lost"
    )


async def _create(dsn: str, schema: str) -> None:
    async with PostgreSQLEventStore(dsn, options=PostgreSQLOptions(schema=schema)):
        connection = await asyncpg.connect(dsn)
        for statement in (NAIVE, LINGER):
            await connection.execute(statement.format(schema=schema))
        for table in ("events", "naive"):
            await connection.execute(LINGERING.format(schema=schema, table=table))
        await connection.close()


def _written(process: Process) -> list[int]:
    """Return how many events and how many rows were acknowledged, once it has ended."""
    written, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0
    return [int(number) for number in written.split()]


def _seen(process: Process) -> list[Seen]:
    """Tell it that no more will come, and return what it saw."""
    seen, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0
    return [(int(position), stream, int(version)) for position, stream, version in map(str.split, seen.splitlines())]


async def _positions(dsn: str, schema: str) -> list[list[int]]:
    """Return the positions of all events and of all rows."""
    connection = await asyncpg.connect(dsn)
    queries = (f'SELECT global_position FROM "{schema}".events', f'SELECT position FROM "{schema}".naive')
    positions = [[position for (position,) in await connection.fetch(query)] for query in queries]
    await connection.close()
    return positions


def _lost(positions: list[int], seen: list[Seen]) -> set[int]:
    return {*positions} - {position for position, _, _ in seen}


def _out_of_order(seen: list[Seen]) -> list[Seen]:
    """Return what came after a greater position, or not right after the version before it of its stream."""
    versions: dict[str, int] = {}
    wrong = [after for before, after in pairwise(seen) if before[0] >= after[0]]
    for each in seen:
        _, stream, version = each
        if version != versions.get(stream, 0) + 1:
            wrong.append(each)
        versions[stream] = version
    return wrong
