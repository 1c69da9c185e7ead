"""Group commit with several groups under way at a time, and with items for which a group has no room."""

import asyncio
from collections.abc import Sequence

import pytest

from eventsource.databases.group_commit import GroupCommit


class Log:
    """Commits letters as capitals, whenever it is let; a group with a "!" fails."""

    def __init__(self) -> None:
        self.groups: list[str] = []
        self._changed = asyncio.Condition()
        self._permits = asyncio.Semaphore(0)

    async def commit(self, items: Sequence[str]) -> list[str | Exception]:
        async with self._changed:
            self.groups.append("".join(items))
            self._changed.notify_all()
        await self._permits.acquire()
        if "!" in items:
            raise OSError("disk full")
        return [item.upper() for item in items]

    async def began(self, groups: int) -> list[str]:
        """Return the groups, once there are so many."""
        async with asyncio.timeout(5), self._changed:
            await self._changed.wait_for(lambda: len(self.groups) >= groups)
            return list(self.groups)

    def let(self, groups: int = 9) -> None:
        """Let as many groups be committed."""
        for _ in range(groups):
            self._permits.release()


class Distinct:
    """Has room for each letter once, and for none that is under way."""

    def __init__(self, under_way: Sequence[str]) -> None:
        self._letters = set(under_way)

    def __call__(self, item: str) -> bool:
        is_new = item not in self._letters
        self._letters.add(item)
        return is_new


@pytest.fixture
def log() -> Log:
    return Log()


async def submitted(group: GroupCommit[str, str], items: str) -> list[asyncio.Task[str]]:
    """Return tasks that have submitted one of *items* each, in their order."""
    tasks = [asyncio.create_task(group.submit(item)) for item in items]
    await asyncio.sleep(0)  # each task runs up to where it waits for its outcome
    return tasks


async def outcomes(tasks: list[asyncio.Task[str]]) -> list[str]:
    """Return what became of *tasks*; errors by their names."""
    async with asyncio.timeout(5):
        results = await asyncio.gather(*tasks, return_exceptions=True)
    return [type(each).__name__ if isinstance(each, BaseException) else each for each in results]


class TestCalls:
    """Several groups under way at a time."""

    @pytest.fixture
    def group(self, log: Log) -> GroupCommit[str, str]:
        return GroupCommit(log.commit, calls=2)

    async def test_the_second_begins_before_the_first_is_durable(self, log: Log, group: GroupCommit[str, str]) -> None:
        """Each with what was there when it began; what comes later waits."""
        tasks = await submitted(group, "abcd")
        before = await log.began(2)
        log.let()

        assert await outcomes(tasks) == ["A", "B", "C", "D"]
        assert (before, log.groups) == (["a", "b"], ["a", "b", "cd"])

    async def test_as_soon_as_one_is_done_the_next_begins(self, log: Log, group: GroupCommit[str, str]) -> None:
        """Though the other one takes longer; never are there more than so many."""
        first, second, *queued = await submitted(group, "abcd")
        log.let(1)
        groups = await log.began(3)
        answered, second_is_done = first.done(), second.done()
        queued += await submitted(group, "e")
        log.let()

        assert await outcomes([first, second, *queued]) == ["A", "B", "C", "D", "E"]
        assert (answered, second_is_done, groups) == (True, False, ["a", "b", "cd"])
        assert log.groups == ["a", "b", "cd", "e"]

    async def test_one_that_fails_fails_nobody_else(self, log: Log, group: GroupCommit[str, str]) -> None:
        """Neither the other one under way nor the next."""
        tasks = await submitted(group, "!bcd")
        log.let()

        assert await outcomes(tasks) == ["OSError", "B", "C", "D"]

    async def test_draining_waits_for_all(self, log: Log, group: GroupCommit[str, str]) -> None:
        """For both that are under way, and for what is queued."""
        tasks = await submitted(group, "abcd")
        draining = asyncio.create_task(group.drain())
        log.let(1)
        await log.began(3)
        early = draining.done()
        log.let()
        await asyncio.wait_for(draining, timeout=5)

        assert (early, [task.done() for task in tasks]) == (False, [True] * 4)


class TestRoom:
    """Who does not go into a group."""

    @pytest.fixture
    def group(self, log: Log) -> GroupCommit[str, str]:
        return GroupCommit(log.commit, room=Distinct)

    async def test_what_has_no_room_goes_into_the_next_group(self, log: Log, group: GroupCommit[str, str]) -> None:
        """So does what is behind it: nobody is overtaken."""
        tasks = await submitted(group, "abbcbd")
        log.let()

        assert await outcomes(tasks) == ["A", "B", "B", "C", "B", "D"]
        assert log.groups == ["a", "b", "bc", "bd"]

    async def test_each_group_has_a_room_of_its_own(self, log: Log, group: GroupCommit[str, str]) -> None:
        """What went into the one before takes nothing away."""
        tasks = await submitted(group, "aab")
        log.let()
        await outcomes(tasks)
        again = await submitted(group, "ab")

        assert await outcomes(again) == ["A", "B"]
        assert log.groups == ["a", "ab", "a", "b"]

    async def test_the_first_one_goes_when_nothing_is_under_way(self, log: Log) -> None:
        """Even if there is never any room, nobody waits for ever."""
        group: GroupCommit[str, str] = GroupCommit(log.commit, calls=2, room=lambda under_way: lambda item: False)
        tasks = await submitted(group, "abc")
        log.let()

        assert await outcomes(tasks) == ["A", "B", "C"]
        assert log.groups == ["a", "b", "c"]

    async def test_what_was_taken_back_takes_no_room(self, log: Log, group: GroupCommit[str, str]) -> None:
        """The next one like it goes in its place."""
        tasks = await submitted(group, "abbc")
        tasks[1].cancel()
        log.let()

        assert await outcomes(tasks) == ["A", "CancelledError", "B", "C"]
        assert log.groups == ["a", "bc"]

    async def test_what_has_no_room_beside_what_is_under_way_waits(self, log: Log) -> None:
        """Though there might be another call."""
        group: GroupCommit[str, str] = GroupCommit(log.commit, calls=2, room=Distinct)
        tasks = await submitted(group, "aab")
        under_way = await log.began(1)
        log.let()

        assert await outcomes(tasks) == ["A", "A", "B"]
        assert (under_way, log.groups) == (["a"], ["a", "ab"])
