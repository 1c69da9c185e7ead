"""A forwarder that is killed leaves no event out, and repeats no more than a page."""

import asyncio
import subprocess
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from random import Random
from uuid import UUID

import pytest

from eventsource.stores.sqlite import SQLiteEventStore
from eventsource.testing.events import DOOR, opened

PAGE = 50
LEASE = 0.2


@pytest.mark.parametrize("stands_still", [False, True], ids=["while it publishes", "before it saves the checkpoint"])
def test_what_was_published_is_repeated_by_a_page_at_most(
    path: Path,
    start: Callable[..., "subprocess.Popen[str]"],
    size: Callable[[int, int], int],
    report: Callable[[str], None],
    stands_still: bool,
) -> None:
    """Round after round it goes on at the end of a page or before: nothing is missing, all is in the log's order."""
    events, random = size(1_000, 10_000), Random(PAGE)
    log = asyncio.run(_stored(path, events))
    published = 0
    repeated: list[int] = []

    for number in range(size(5, 40)):
        lines = PAGE if number == 0 else random.randrange(1, 4 * PAGE)
        forwarding = start("forwarding.py", path, PAGE, LEASE, lines if stands_still else 0)
        first, last = _part_of(log, _published_until_killed(forwarding, lines))
        repeated.append(published - first)
        published = last
    rest, _ = start("forwarding.py", path, PAGE, LEASE, 0).communicate(timeout=60)
    first, last = _part_of(log, rest.splitlines())
    repeated.append(published - first)

    assert last == events
    assert min(repeated) >= 0
    assert max(repeated) <= PAGE
    assert not stands_still or repeated[1] == PAGE  # the first time it stood still at the end of a page
    report(
        f"{len(repeated) - 1} rounds of kill -9, {events} events: 0 missing, all in order; published again "
        f"{sum(repeated)}, at most {max(repeated)} at a time (a page is {PAGE}): {repeated[1:]}"
    )


async def _stored(path: Path, count: int) -> list[str]:
    """Append so many events, some of them at a time and with headers of their own, and return their ids."""
    events = opened(UUID(int=1), count)
    async with SQLiteEventStore(path) as store:
        for version in range(0, count, 20):
            headers = {"request": str(version)}
            await store.append_events(UUID(int=1), DOOR, events[version : version + 20], version, headers=headers)
    return [str(event.event_id) for event in events]


def _published_until_killed(forwarding: "subprocess.Popen[str]", lines: int) -> list[str]:
    """Kill the process once it has written *lines*, and return these and what it wrote in the meantime."""
    assert forwarding.stdout
    written = list(islice(forwarding.stdout, lines))
    assert len(written) == lines
    forwarding.kill()
    written += [line for line in forwarding.stdout if line.endswith("\n")]
    assert forwarding.wait() == -9
    return [line.strip() for line in written]


def _part_of(log: list[str], published: list[str]) -> tuple[int, int]:
    """Return where in *log* what was published begins and ends; one that is missing or out of order fails the test."""
    first = log.index(published[0])
    last = first + len(published)
    assert log[first:last] == published
    return first, last
