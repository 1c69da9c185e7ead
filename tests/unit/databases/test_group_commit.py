"""Group commit: who shares a transaction, and whose outcome is whose."""

import asyncio
from collections.abc import Awaitable, Coroutine, Sequence
from contextvars import ContextVar
from typing import Any

import pytest

from eventsource.databases.group_commit import GroupCommit
from eventsource.exceptions import NotConnectedError

name: ContextVar[str] = ContextVar("name", default="nobody")


class Log:
    """Commits letters as capitals, whenever it is let."""

    def __init__(self) -> None:
        self.groups: list[str] = []
        self.contexts: list[str] = []
        self.begun = asyncio.Event()
        self.permits = asyncio.Semaphore(0)

    async def commit(self, items: Sequence[str]) -> list[str | Exception]:
        self.groups.append("".join(items))
        self.contexts.append(name.get())
        self.begun.set()
        await self.permits.acquire()
        if "!" in items:
            raise OSError("disk full")
        return [ValueError(f"{item} is no letter") if item.isdigit() else item.upper() for item in items]

    def let(self, groups: int = 9) -> None:
        """Let as many groups be committed."""
        for _ in range(groups):
            self.permits.release()


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def group(log: Log) -> GroupCommit[str, str]:
    return GroupCommit(log.commit)


async def submitted(group: GroupCommit[str, str], items: str) -> list[asyncio.Task[str]]:
    """Return tasks that have submitted one of *items* each, in their order."""
    tasks = [asyncio.create_task(group.submit(item)) for item in items]
    await asyncio.sleep(0)  # each task runs up to where it waits for its outcome
    return tasks


async def outcomes(tasks: Sequence[Awaitable[str]]) -> list[Any]:
    """Return what became of *tasks*; errors by their names."""
    results = await asyncio.gather(*tasks, return_exceptions=True)
    return [type(each).__name__ if isinstance(each, BaseException) else each for each in results]


class TestGrouping:
    async def test_a_lone_caller_is_its_own_group(self, log: Log, group: GroupCommit[str, str]) -> None:
        """Nobody waits for company."""
        log.let()

        assert (await group.submit("a"), log.groups) == ("A", ["a"])

    async def test_what_comes_in_the_meantime_shares_the_next_group(
        self, log: Log, group: GroupCommit[str, str]
    ) -> None:
        """In the order in which it came."""
        tasks = [*await submitted(group, "a"), *await submitted(group, "bcd")]
        log.let()

        assert await outcomes(tasks) == ["A", "B", "C", "D"]
        assert log.groups == ["a", "bcd"]

    async def test_one_group_is_committed_at_a_time(self, log: Log, group: GroupCommit[str, str]) -> None:
        """The second one does not begin before the first is durable."""
        tasks = [*await submitted(group, "a"), *await submitted(group, "bcd")]
        before = list(log.groups)
        log.let()
        await outcomes(tasks)

        assert before == ["a"]

    async def test_groups_follow_one_another(self, log: Log, group: GroupCommit[str, str]) -> None:
        """Also when the queue was empty for a while."""
        log.let()

        assert [await group.submit("a"), await group.submit("b")] == ["A", "B"]
        assert log.groups == ["a", "b"]

    async def test_a_group_runs_in_the_context_of_its_first_caller(
        self, log: Log, group: GroupCommit[str, str]
    ) -> None:
        """Not in that of whoever happened to be committing before."""

        async def submit(item: str) -> None:
            name.set(item)
            await group.submit(item)

        tasks = []
        for item in "abc":
            tasks.append(asyncio.create_task(submit(item)))
            await asyncio.sleep(0)
        log.let()
        await asyncio.gather(*tasks)

        assert (log.groups, log.contexts) == (["a", "bc"], ["a", "b"])


class TestOutcomes:
    async def test_each_caller_gets_its_own(self, log: Log, group: GroupCommit[str, str]) -> None:
        """An item that fails harms none of the others."""
        tasks = [*await submitted(group, "a"), *await submitted(group, "b1c")]
        log.let()

        assert await outcomes(tasks) == ["A", "B", "ValueError", "C"]

    async def test_a_commit_that_raises_fails_its_whole_group(self, log: Log, group: GroupCommit[str, str]) -> None:
        """And no other one."""
        tasks = [*await submitted(group, "a"), *await submitted(group, "b!")]
        log.let()
        results = await outcomes(tasks)

        assert (results, await group.submit("c")) == (["A", "OSError", "OSError"], "C")

    async def test_a_commit_that_raises_at_once_does_the_same(self, log: Log) -> None:
        """Whether it was called for a lone caller or for those who waited in the queue."""

        def commit(items: Sequence[str]) -> Awaitable[list[str | Exception]]:
            if "?" in items:
                raise OSError("no thread")
            return log.commit(items)

        group: GroupCommit[str, str] = GroupCommit(commit)
        tasks = [*await submitted(group, "?"), *await submitted(group, "a"), *await submitted(group, "b?")]
        log.let()

        assert await asyncio.wait_for(outcomes(tasks), timeout=5) == ["OSError", "A", "OSError", "OSError"]

    async def test_a_commit_that_is_cancelled_cancels_those_who_wait(self, log: Log) -> None:
        """Their outcome is unknown, but the next group is committed."""

        async def commit(items: Sequence[str]) -> list[str | Exception]:
            if "a" in items:
                raise asyncio.CancelledError
            return await log.commit(items)

        group: GroupCommit[str, str] = GroupCommit(commit)
        tasks = await submitted(group, "a")
        log.let()

        assert (await outcomes(tasks), await group.submit("b")) == (["CancelledError"], "B")


class TestCancellation:
    async def test_an_item_that_is_still_queued_is_taken_back(self, log: Log, group: GroupCommit[str, str]) -> None:
        """It is never committed; its neighbours are."""
        tasks = [*await submitted(group, "a"), *await submitted(group, "bcd")]
        tasks[2].cancel()
        log.let()

        assert await outcomes(tasks) == ["A", "B", "CancelledError", "D"]
        assert log.groups == ["a", "bd"]

    async def test_when_all_that_is_queued_is_taken_back_nothing_is_committed(
        self, log: Log, group: GroupCommit[str, str]
    ) -> None:
        """The next caller is its own group again."""
        tasks = [*await submitted(group, "a"), *await submitted(group, "bc")]
        for task in tasks[1:]:
            task.cancel()
        log.let()
        await outcomes(tasks)

        assert (await group.submit("d"), log.groups) == ("D", ["a", "d"])

    async def test_an_item_under_way_is_committed_all_the_same(self, log: Log, group: GroupCommit[str, str]) -> None:
        """Its caller is gone at once; the others of the group are not harmed."""
        first, rest = await submitted(group, "a"), await submitted(group, "bcd")
        log.begun.clear()
        log.let(1)
        await outcomes(first)
        await log.begun.wait()

        rest[0].cancel()
        gone = await outcomes(rest[:1])
        log.let()

        assert (gone, await outcomes(rest[1:])) == (["CancelledError"], ["C", "D"])
        assert log.groups == ["a", "bcd"]

    async def test_a_failure_that_nobody_waits_for_is_no_noise(
        self, log: Log, group: GroupCommit[str, str], caplog: pytest.LogCaptureFixture
    ) -> None:
        """The only caller has gone, and the loop has nothing to complain of."""
        tasks = await submitted(group, "!")
        tasks[0].cancel()
        await outcomes(tasks)
        log.let()
        await group.drain()

        assert caplog.records == []


class TestDraining:
    async def test_with_nothing_to_do_it_returns(self, group: GroupCommit[str, str]) -> None:
        """Nothing was ever submitted."""
        drained = asyncio.ensure_future(group.drain())

        done, _ = await asyncio.wait([drained], timeout=5)

        assert done == {drained}

    async def test_it_waits_for_what_is_under_way_and_what_is_queued(
        self, log: Log, group: GroupCommit[str, str]
    ) -> None:
        """All of it, not only the group that was under way when it was called."""
        first, rest = await submitted(group, "a"), await submitted(group, "bc")
        draining = asyncio.create_task(group.drain())
        log.begun.clear()
        log.let(1)
        await outcomes(first)
        await log.begun.wait()
        await asyncio.sleep(0)
        early = draining.done()
        log.let()
        await draining

        assert (early, log.groups) == (False, ["a", "bc"])
        assert await outcomes(rest) == ["B", "C"]

    async def test_a_group_that_fails_is_done_too(self, log: Log, group: GroupCommit[str, str]) -> None:
        """The error is its callers' and not the drainer's."""
        tasks = await submitted(group, "!")
        log.let()

        await group.drain()

        assert await outcomes(tasks) == ["OSError"]


class TestClosedLoops:
    def test_what_a_closed_loop_left_behind_blocks_nobody(self) -> None:
        """Nobody waits any longer for what was under way or queued there, so it is not committed elsewhere."""
        committed: list[str] = []

        async def finish(items: Sequence[str]) -> list[str | Exception]:
            committed.extend(items)
            return [item.upper() for item in items]

        def commit(items: Sequence[str]) -> Awaitable[list[str | Exception]]:
            # A thread that outlives its loop looks like a future that is never done.
            return asyncio.get_running_loop().create_future() if "a" in items else finish(items)

        group: GroupCommit[str, str] = GroupCommit(commit)

        async def leave() -> list[Coroutine[Any, Any, str]]:
            waiting = [group.submit("a"), group.submit("b")]
            for each in waiting:
                each.send(None)  # it waits for its outcome, and is no task that the loop could cancel
            return waiting

        async def come() -> str:
            await asyncio.wait_for(group.drain(), timeout=5)
            return await asyncio.wait_for(group.submit("c"), timeout=5)

        left = asyncio.run(leave())
        outcome = asyncio.run(come())
        for each in left:
            each.close()

        assert (outcome, committed) == ("C", ["c"])


class TestStandingLoops:
    def test_what_a_standing_loop_has_under_way_is_told_to_others(self, log: Log) -> None:
        """Another loop could only wait for ever, so neither submitting nor draining does."""
        group, first = GroupCommit(log.commit), asyncio.new_event_loop()
        (left,) = first.run_until_complete(submitted(group, "a"))

        async def come() -> None:
            await asyncio.wait_for(group.drain(), timeout=5)
            await asyncio.wait_for(group.submit("b"), timeout=5)

        with pytest.raises(NotConnectedError, match="another event loop, which stands still"):
            asyncio.run(come())

        log.let()
        assert (first.run_until_complete(left), log.groups) == ("A", ["a"])
        first.close()

    def test_when_it_has_gone_on_others_may_come(self, log: Log) -> None:
        """What was refused in the meantime is not committed."""
        group, first = GroupCommit(log.commit), asyncio.new_event_loop()
        (left,) = first.run_until_complete(submitted(group, "a"))
        with pytest.raises(NotConnectedError):
            asyncio.run(asyncio.wait_for(group.submit("b"), timeout=5))
        log.let()
        first.run_until_complete(left)

        outcome = asyncio.run(asyncio.wait_for(group.submit("c"), timeout=5))

        assert (outcome, log.groups) == ("C", ["a", "c"])
        first.close()


async def test_a_commit_that_answers_for_too_few_is_an_error_for_all() -> None:
    """Nobody waits for an answer that will never come."""

    async def commit(items: Sequence[int]) -> list[int]:
        return []

    group: GroupCommit[int, int] = GroupCommit(commit)

    with pytest.raises(RuntimeError, match="1 items gave 0 outcomes"):
        await group.submit(1)
