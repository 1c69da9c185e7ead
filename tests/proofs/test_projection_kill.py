"""Two runners of one projection that are killed again and again leave no event out."""

import asyncio
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from random import Random
from uuid import UUID

from eventsource.projections.checkpoints.sqlite import SQLiteCheckpointRepository
from eventsource.stores.sqlite import SQLiteEventStore
from eventsource.stores.values import ExpectedVersion, ReadOptions
from eventsource.testing.events import DOOR, Opened

PROJECTION = "openings"
LEASE = 0.3
PATIENCE = 120.0


def test_a_plain_projection_reflects_every_event_at_least_once(
    path: Path,
    start: Callable[..., "subprocess.Popen[str]"],
    size: Callable[[int, int], int],
    report: Callable[[str], None],
) -> None:
    """None is missing, and each first occurrence is in the order of the log."""
    read_model = path.with_name("read-model.db")

    log = _run_through_kills("plain", path, read_model, start, size)

    seen, counter = _seen_in(read_model)
    events = [event_id for event_id, _ in seen]
    assert list(dict.fromkeys(events)) == log
    assert counter == len(events)
    report(f"plain: {len(log)} events, 0 missing, {len(events) - len(log)} handled again; {_changes_of_leader(seen)}")


def test_a_transactional_projection_reflects_every_event_exactly_once(
    path: Path,
    start: Callable[..., "subprocess.Popen[str]"],
    size: Callable[[int, int], int],
    report: Callable[[str], None],
) -> None:
    """None is missing and none was counted twice, in the order of the log."""
    log = _run_through_kills("transactional", path, path, start, size)

    seen, counter = _seen_in(path)
    assert [event_id for event_id, _ in seen] == log
    assert counter == len(log)
    report(f"transactional: {len(log)} events, 0 missing, 0 counted again; {_changes_of_leader(seen)}")


def _run_through_kills(
    kind: str,
    path: Path,
    read_model: Path,
    start: Callable[..., "subprocess.Popen[str]"],
    size: Callable[[int, int], int],
) -> list[str]:
    """
    Kill both runners at random moments of a flow of events, let them catch up, and return the ids of the log.

    In the end the one that has led last is killed for good, so that the other one has to.
    """
    events, kills, seconds = size(800, 20_000), size(4, 30), size(5, 180) / 2
    doomed = _moments(events, kills)

    def begin(runner: str, life: int) -> "subprocess.Popen[str]":
        return start("projecting.py", kind, path, read_model, f"{runner}{life}", LEASE)

    running = {runner: begin(runner, 0) for runner in "AB"}
    flowing = start("flowing.py", path, events, seconds)
    assert flowing.stdout
    for number, _ in enumerate(flowing.stdout):
        if number in doomed:
            runner, life = doomed[number]
            _kill(running[runner])
            running[runner] = begin(runner, life)
    assert flowing.wait() == 0
    _, last = _seen_in(read_model)[0][-1]
    _kill(running.pop(last[0]))
    asyncio.run(_append_one(path))
    log = asyncio.run(_log_once_handled(path, [*running.values()]))
    _kill(*running.values())
    assert len(log) == events + 1
    return log


def _moments(events: int, kills: int) -> dict[int, tuple[str, int]]:
    """Return after which events which runner is killed, for the how-many-eth time; they take turns."""
    random, section = Random(events), events // (2 * kills)
    turns = ((runner, life) for life in range(1, kills + 1) for runner in "AB")
    return {section * number + random.randrange(section): turn for number, turn in enumerate(turns)}


def _kill(*processes: "subprocess.Popen[str]") -> None:
    for process in processes:
        process.kill()
        assert process.wait() == -9


async def _append_one(path: Path) -> None:
    event = Opened(aggregate_id=UUID(int=1))
    async with SQLiteEventStore(path) as store:
        await store.append_events(event.aggregate_id, DOOR, [event], ExpectedVersion.ANY)


async def _log_once_handled(path: Path, running: list["subprocess.Popen[str]"]) -> list[str]:
    async with SQLiteEventStore(path) as store, SQLiteCheckpointRepository(path) as checkpoints:
        head = await store.get_global_position()
        async with asyncio.timeout(PATIENCE):
            while await checkpoints.get_position(PROJECTION) != head:
                assert [process.poll() for process in running] == [None] * len(running)
                await asyncio.sleep(0.05)  # another process moves it, and tells nobody
        return [str(stored.event_id) async for stored in store.read_all(ReadOptions(event_types=[Opened]))]


def _seen_in(read_model: Path) -> tuple[list[tuple[str, str]], int]:
    """Return the ids of the events as they were handled, each with who handled it, and the counter."""
    with closing(sqlite3.connect(read_model)) as connection:
        seen = connection.execute("SELECT event_id, runner FROM seen ORDER BY number").fetchall()
        ((counter,),) = connection.execute("SELECT n FROM counter")
    return seen, counter


def _changes_of_leader(seen: list[tuple[str, str]]) -> str:
    leaders = [runner for _, runner in seen]
    changes = [(before, after) for before, after in pairwise(leaders) if before != after]
    assert {runner[0] for runner in leaders} == {"A", "B"}
    across = sum(before[0] != after[0] for before, after in changes)
    return f"{len(set(leaders))} processes led, {len(changes)} changes of leader, {across} from one runner to the other"
