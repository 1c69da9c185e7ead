"""A process that is killed has lost nothing that it was told is stored."""

import asyncio
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from itertools import groupby, islice
from pathlib import Path

from eventsource.stores.sqlite import SQLiteEventStore
from eventsource.stores.values import StoredEvent
from eventsource.testing import events as events_of_the_program  # noqa: F401 - which are registered by that

TASKS = 16


def test_what_was_acknowledged_survives_kills(
    path: Path,
    start: Callable[..., "subprocess.Popen[str]"],
    size: Callable[[int, int], int],
    report: Callable[[str], None],
) -> None:
    """Round after round on one file: every acknowledged event is in its place, and the file is sound."""
    rounds = size(4, 20)
    acknowledged: list[str] = []

    for number in range(rounds):
        appending = start("appending.py", path, TASKS, 0)
        acknowledged += _acknowledged_until_killed(appending, 25 + 211 * number % 1000)

        log = asyncio.run(_log_of(path))
        assert set(acknowledged) <= {_line(stored) for stored in log}
        assert _versions_by_stream(log) == _versions_without_gap(log)
        assert _complaints_about(path) == ["ok"]

    report(
        f"{rounds} rounds of kill -9 on {TASKS} tasks: {len(acknowledged)} events acknowledged, 0 lost, all in order; "
        f"{len(log) - len(acknowledged)} more were stored and not acknowledged yet; integrity check: ok"
    )


def _acknowledged_until_killed(appending: "subprocess.Popen[str]", lines: int) -> list[str]:
    """Kill the process once it has written *lines*, and return these and what it wrote in the meantime."""
    assert appending.stdout
    written = list(islice(appending.stdout, lines))
    assert len(written) == lines
    appending.kill()
    written += [line for line in appending.stdout if line.endswith("\n")]
    assert appending.wait() == -9
    return [" ".join(line.split()[:3]) for line in written]


async def _log_of(path: Path) -> list[StoredEvent]:
    async with SQLiteEventStore(path) as store:
        return [stored async for stored in store.read_all()]


def _line(stored: StoredEvent) -> str:
    return f"{stored.aggregate_id} {stored.stream_position} {stored.event_id}"


def _versions_by_stream(log: list[StoredEvent]) -> dict[str, list[int]]:
    """Return the versions of each stream in the order of the global positions."""
    by_stream = groupby(sorted(log, key=lambda stored: stored.stream_id), key=lambda stored: stored.stream_id)
    return {stream_id: [stored.stream_position for stored in stream] for stream_id, stream in by_stream}


def _versions_without_gap(log: list[StoredEvent]) -> dict[str, list[int]]:
    return {stream_id: list(range(1, len(each) + 1)) for stream_id, each in _versions_by_stream(log).items()}


def _complaints_about(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        return [complaint for (complaint,) in connection.execute("PRAGMA integrity_check")]
