"""Reading a store takes no more memory the more it holds."""

import asyncio
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest

from eventsource.stores.sqlite import SQLiteEventStore
from eventsource.testing.events import DOOR, opened


@pytest.mark.skipif(sys.platform != "linux", reason="the peak of a process is read from /proc")
def test_reading_a_large_store_takes_no_more_memory_than_a_small_one(
    tmp_path: Path,
    start: Callable[..., "subprocess.Popen[str]"],
    report: Callable[[str], None],
) -> None:
    """Ten times the events, at most 1.1 times the peak: of what Python allocates, and of the process."""
    few = 5_000  # ten pages: fewer would not show the peak that the pages reach together

    small, large = (_peaks(start, asyncio.run(_stored(tmp_path, events)), events) for events in (few, 10 * few))

    assert large[0] <= 1.1 * small[0]
    assert large[1] <= 1.1 * small[1]
    report(
        f"read_all of {few} and of {10 * few} events: {small[0] / 1e6:.2f} and {large[0] / 1e6:.2f} MB allocated by "
        f"Python at most (x {large[0] / small[0]:.2f}), {small[1] / 1e3:.1f} and {large[1] / 1e3:.1f} MB by the process"
    )


async def _stored(directory: Path, events: int) -> Path:
    """Return a file that holds so many events."""
    path = directory / f"{events}.db"
    async with SQLiteEventStore(path, synchronous="OFF") as store:
        for _ in range(events // 500):
            aggregate_id = uuid4()
            await store.append_events(aggregate_id, DOOR, opened(aggregate_id, 500), 0)
    return path


def _peaks(start: Callable[..., "subprocess.Popen[str]"], path: Path, events: int) -> tuple[int, int]:
    under = ("env", "MALLOC_ARENA_MAX=1")  # or the C library keeps as much again for each thread that has read
    reading = start("reading.py", path, under=under)
    read, allocated, resident = map(int, reading.communicate(timeout=600)[0].split())
    assert read == events
    return allocated, resident
