"""Catching up takes no more memory the more there is to catch up with."""

import asyncio
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import pytest

from eventsource.stores.sqlite import SQLiteEventStore
from eventsource.testing.events import DOOR, opened


@pytest.mark.skipif(sys.platform != "linux", reason="the peak of a process is read from /proc")
@pytest.mark.parametrize("kind", ["plain", "transactional"])
def test_catching_up_with_a_long_log_takes_no_more_memory_than_with_a_short_one(
    tmp_path: Path,
    start: Callable[..., "subprocess.Popen[str]"],
    size: Callable[[int, int], int],
    report: Callable[[str], None],
    kind: str,
) -> None:
    """Many times the events, at most 1.1 times the peak: of what Python allocates, and of the process."""
    few = size(5_000, 10_000)  # ten pages: fewer would not show the peak that the pages reach together
    many = size(4, 10) * few

    small = _peaks(start, kind, tmp_path / "few.db", few)
    large = _peaks(start, kind, tmp_path / "many.db", many)

    assert large[0] <= 1.1 * small[0]
    assert large[1] <= 1.1 * small[1]
    report(
        f"{kind}, catching up with {few} and with {many} events: {small[0] / 1e6:.2f} and {large[0] / 1e6:.2f} MB "
        f"allocated by Python at most (x {large[0] / small[0]:.2f}), {small[1] / 1e3:.1f} and {large[1] / 1e3:.1f} MB "
        f"by the process (x {large[1] / small[1]:.2f})"
    )


def _peaks(start: Callable[..., "subprocess.Popen[str]"], kind: str, path: Path, events: int) -> tuple[int, int]:
    """Return what catching up with so many events took at most: what Python allocated, and the whole process."""
    asyncio.run(_store(path, events))
    under = ("env", "MALLOC_ARENA_MAX=1")  # or the C library keeps as much again for each thread that has read
    catching_up = start("catching_up.py", kind, path, under=under)
    handled, allocated, resident = map(int, catching_up.communicate(timeout=600)[0].split())
    assert handled == events
    return allocated, resident


async def _store(path: Path, events: int) -> None:
    async with SQLiteEventStore(path, synchronous="OFF") as store:
        for number in range(events // 500):
            await store.append_events(UUID(int=number), DOOR, opened(UUID(int=number), 500), 0)
