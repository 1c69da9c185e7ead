"""Many writers that clash, and that are cancelled at any moment: what each was told is true."""

import asyncio
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from eventsource.stores.sqlite import SQLiteEventStore
from eventsource.stores.values import StoredEvent

OUTCOMES = ("acknowledged", "refused", "cancelled")


@pytest.mark.parametrize(("processes", "tasks"), [(1, 64), (4, 16)])
def test_the_outcome_of_each_append_is_true(
    path: Path,
    start: Callable[..., "subprocess.Popen[str]"],
    size: Callable[[int, int], int],
    report: Callable[[str], None],
    processes: int,
    tasks: int,
) -> None:
    """An acknowledged pair stands where it was told, a refused one nowhere, a cancelled one whole or not at all."""
    appends = size(20, 300)

    outcomes = _outcomes_of([start("clashing.py", path, tasks, appends, seed) for seed in range(processes)])

    told = {outcome: {pair for each, pair in outcomes if each == outcome} for outcome in OUTCOMES}
    pairs = set(_pairs_in(asyncio.run(_log_of(path))))
    acknowledged, refused, cancelled = (len(told[outcome]) for outcome in OUTCOMES)
    assert acknowledged + refused + cancelled == processes * tasks * appends
    assert min(acknowledged, refused, cancelled) > 0
    assert told["acknowledged"] <= pairs
    assert _ids(told["refused"]).isdisjoint(_ids(pairs))
    assert _ids(pairs - told["acknowledged"]) <= _ids(told["cancelled"])
    report(
        f"{processes} process(es) of {tasks} tasks: {acknowledged} appends acknowledged, 0 lost; {refused} refused, "
        f"0 written; {cancelled} cancelled, {len(pairs) - acknowledged} of them written whole, 0 in part"
    )


def _ids(pairs: set[tuple[str, ...]]) -> set[tuple[str, ...]]:
    return {pair[-2:] for pair in pairs}


def _outcomes_of(processes: list["subprocess.Popen[str]"]) -> list[tuple[str, tuple[str, ...]]]:
    """Let them all begin at once, and return what they wrote: outcome; aggregate, version and both event ids."""
    for process in processes:
        assert process.stdin
        process.stdin.write("begin\n")
        process.stdin.flush()
    written = "".join([process.communicate(timeout=600)[0] for process in processes])
    assert [process.returncode for process in processes] == [0] * len(processes)
    return [(outcome, tuple(pair)) for outcome, *pair in map(str.split, written.splitlines())]


async def _log_of(path: Path) -> list[StoredEvent]:
    async with SQLiteEventStore(path) as store:
        return [stored async for stored in store.read_all()]


def _pairs_in(log: list[StoredEvent]) -> Iterator[tuple[str, ...]]:
    """Return the pairs as they stand in the log; one that is torn apart fails the test."""
    for first, second in zip(log[::2], log[1::2], strict=True):
        assert first.stream_id == second.stream_id
        assert second.stream_position == first.stream_position + 1
        assert (getattr(first.event, "number", 0), getattr(second.event, "number", 0)) == (1, 2)
        yield (str(second.aggregate_id), str(second.stream_position), str(first.event_id), str(second.event_id))
