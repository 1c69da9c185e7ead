"""Comparing ways of doing the same work, in turn, round after round."""

import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median, quantiles
from typing import TypeAlias

Way: TypeAlias = Callable[[], Awaitable[float]]
"""Does its work once and returns how many seconds one operation took."""

ROUNDS = 7


@dataclass(frozen=True, slots=True)
class Figure:
    """
    How fast one way was, and another one that did the same work in the same rounds.

    ``ratio`` is the median of the rounds' ratios: 0.5 is half as fast as the peer, 2 twice as fast.
    """

    what: str
    seconds: float
    peer: str
    peer_seconds: float
    ratio: float


@dataclass(frozen=True, slots=True)
class Latency:
    """How late something happened: half the times after ``median`` seconds at most, 99 times in 100 after ``p99``."""

    what: str
    median: float
    p99: float


class Watch:
    """The seconds that a block took, once it is over."""

    seconds = 0.0


@contextmanager
def stopwatch() -> Iterator[Watch]:
    """Measure the block."""
    watch, started = Watch(), time.perf_counter()
    yield watch
    watch.seconds = time.perf_counter() - started


async def timed(ways: Mapping[str, Way], rounds: int = ROUNDS) -> dict[str, list[float]]:
    """Return the seconds of each way in each round, after one round that does not count."""
    results: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, way in ways.items():
            seconds = await way()
            if number:
                results[name].append(seconds)
    return results


async def compared(ways: Mapping[str, Way], peer: str, what: str = "") -> list[Figure]:
    """Return one figure for each of *ways* but *peer*, which is that of them they are measured by."""
    results = await timed(ways)
    return [figure(f"{what}{name}", seconds, peer, results[peer]) for name, seconds in results.items() if name != peer]


def figure(what: str, seconds: Sequence[float], peer: str, peer_seconds: Sequence[float]) -> Figure:
    """Return the figure that the rounds of both ways give."""
    ratio = median(theirs / ours for ours, theirs in zip(seconds, peer_seconds, strict=True))
    return Figure(what, median(seconds), peer, median(peer_seconds), ratio)


def latency(what: str, seconds: Sequence[float]) -> Latency:
    """Return what the delays of single events come to."""
    return Latency(what, median(seconds), quantiles(seconds, n=100)[98])
