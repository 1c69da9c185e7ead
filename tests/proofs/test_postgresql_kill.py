"""A PostgreSQL that is killed, ends its sessions and stands still loses nothing, and nobody waits for ever."""

import asyncio
import subprocess
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import asyncpg

from eventsource.databases.postgresql_options import PostgreSQLOptions
from eventsource.stores.postgresql import PostgreSQLEventStore
from eventsource.stores.values import StoredEvent
from eventsource.testing import events as events_of_the_program  # noqa: F401 - which are registered by that
from services.postgresql import PostgreSQL
from services.processes import holds_within

SCHEMA = "proof"
TASKS = 20
CONNECT_TIMEOUT, COMMAND_TIMEOUT = 1.0, 0.5
LONGEST = 2 * 2 * (2 * CONNECT_TIMEOUT + COMMAND_TIMEOUT)
"""Seconds that an append may take, behind another one: both get, use and give back a connection twice at most."""
STILL = LONGEST + 2
"""Seconds for which the server stands still: whoever waited for it would take longer than allowed."""
PATIENCE = 180.0

Process = subprocess.Popen[str]


class Told(NamedTuple):
    """What the program that appends tells: its acknowledged events, and how its appends went."""

    acknowledged: list[str]
    failures: int
    longest: float


def test_what_was_acknowledged_is_there_and_is_projected_once(
    tmp_path: Path,
    start: Callable[..., Process],
    start_postgresql: Callable[..., PostgreSQL],
    size: Callable[[int, int], int],
    report: Callable[[str], None],
) -> None:
    """Each acknowledged event has its place, each event is once in the read model, and all goes on by itself."""
    server = start_postgresql()
    appends, rounds = size(3_000, 20_000), size(1, 3)
    place, limits = (server.address, SCHEMA), (CONNECT_TIMEOUT, COMMAND_TIMEOUT)
    file = tmp_path / "acknowledged.log"
    file.touch()

    projecting = start("postgresql_projecting.py", *place, *limits)
    assert projecting.stdout
    assert projecting.stdout.readline() == "open\n"
    appending = start("postgresql_appending.py", *place, file, TASKS, appends, *limits)
    _disturb(server, file, appends, rounds)
    told = _told(appending, file)
    log = asyncio.run(_log(server.address))
    seen, counter = _seen_once_all_are(server.address, len(log))

    assert projecting.poll() is None
    assert len(told.acknowledged) == appends
    assert told.acknowledged == [_line(stored) for stored in log]
    assert _versions_by_stream(log) == {
        stream: [*range(1, appends // TASKS + 1)] for stream in _versions_by_stream(log)
    }
    assert seen == [str(stored.event_id) for stored in log]
    assert counter == len(log)
    assert told.failures > 0
    assert told.longest < LONGEST
    report(
        f"killed {2 * rounds} times, sessions terminated as often, {rounds} times still for {STILL:.0f} s: {appends} "
        f"events acknowledged to {TASKS} tasks, 0 lost, 0 twice, all in order; {told.failures} appends failed and were "
        f"made again, the longest took {told.longest:.1f} s (limit: {LONGEST:.0f} s); {len(seen)} events projected, 0 "
        f"missing, 0 twice"
    )


def _disturb(server: PostgreSQL, file: Path, appends: int, rounds: int) -> None:
    """Do something to the server again and again while events are appended."""
    changes = CHANGES * rounds
    for number, change in enumerate(changes, 1):
        moment = appends * number // (len(changes) + 1)
        assert holds_within(PATIENCE, lambda moment=moment: file.read_bytes().count(b"\n") >= moment)
        change(server)


def _kill(server: PostgreSQL) -> None:
    server.kill()
    server.start()


def _stand_still(server: PostgreSQL) -> None:
    server.freeze()
    time.sleep(STILL)
    server.thaw()


CHANGES = [_kill, PostgreSQL.terminate_sessions, _stand_still, _kill, PostgreSQL.terminate_sessions]


def _told(appending: Process, file: Path) -> Told:
    written, _ = appending.communicate(timeout=PATIENCE)
    assert appending.returncode == 0
    failures, longest = written.split()
    lines = file.read_text().splitlines()
    return Told(sorted(lines, key=lambda line: int(line.rpartition(" ")[2])), int(failures), float(longest))


async def _log(dsn: str) -> list[StoredEvent]:
    async with PostgreSQLEventStore(dsn, options=PostgreSQLOptions(schema=SCHEMA)) as store:
        return [stored async for stored in store.read_all()]


def _line(stored: StoredEvent) -> str:
    return f"{stored.aggregate_id} {stored.stream_position} {stored.event_id} {stored.global_position}"


def _versions_by_stream(log: list[StoredEvent]) -> dict[str, list[int]]:
    """Return the versions of each stream in the order of the global positions."""
    by_stream = groupby(sorted(log, key=lambda stored: stored.stream_id), key=lambda stored: stored.stream_id)
    return {stream_id: [stored.stream_position for stored in stream] for stream_id, stream in by_stream}


def _seen_once_all_are(dsn: str, events: int) -> tuple[list[str], int]:
    """Return the ids of the events as they were handled, and the counter, once so many are there."""
    holds_within(PATIENCE, lambda: len(asyncio.run(_read_model(dsn))[0]) >= events)
    return asyncio.run(_read_model(dsn))


async def _read_model(dsn: str) -> tuple[list[str], int]:
    async with AsyncExitStack() as stack:
        connection = await asyncpg.connect(dsn)
        stack.push_async_callback(connection.close)
        seen = await connection.fetch(f"SELECT event_id FROM {SCHEMA}.seen ORDER BY number")
        counter = await connection.fetchval(f"SELECT n FROM {SCHEMA}.counter")
    return [str(event_id) for (event_id,) in seen], counter
