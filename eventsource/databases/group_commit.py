"""Group commit: whatever was asked for while one transaction ran shares the next one."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context, copy_context
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

from eventsource.exceptions import NotConnectedError

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")


@dataclass(slots=True)
class _Waiting(Generic[Item, Outcome]):
    item: Item
    outcome: "asyncio.Future[Outcome]"
    context: Context


class GroupCommit(Generic[Item, Outcome]):
    """
    Collects what callers submit, and commits what is queued as one group as soon as there may be another one.

    No timer delays a lone caller: it is its own group. *commit* is given the items and returns, once they are
    durable, an outcome or an exception for each, in their order; it runs in the context of the first of them. If it
    raises, the whole group gets that exception.

    Group commit is described in DeWitt et al., "Implementation Techniques for Main Memory Database Systems",
    SIGMOD 1984.

    Args:
        commit: What commits a group.
        calls: How many groups may be under way at a time.
        room: Is given the items that are under way, and returns what tells of one queued item after the other whether
            that goes into the next group. None overtakes one that does not; the first always goes when nothing is under
            way. Everything does if not given.
    """

    def __init__(
        self,
        commit: Callable[[Sequence[Item]], Awaitable[Sequence[Outcome | Exception]]],
        *,
        calls: int = 1,
        room: Callable[[Sequence[Item]], Callable[[Item], bool]] | None = None,
    ) -> None:
        self._commit = commit
        self._calls = calls
        self._room = room or (lambda under_way: lambda item: True)
        self._queue: list[_Waiting[Item, Outcome]] = []
        self._running: dict[asyncio.Future[Sequence[Outcome | Exception]], list[Item]] = {}

    async def submit(self, item: Item) -> Outcome:
        """
        Return the outcome of *item* once it is durable, or raise it.

        A caller that is cancelled while its item is queued takes it back; once the item is under way its outcome
        is unknown to that caller.

        Raises:
            NotConnectedError: If another event loop left a group under way and was not closed.
        """
        loop = asyncio.get_running_loop()
        # A loop that was closed with a group under way will never tell that the group is done.
        self._running = {each: items for each, items in self._running.items() if not each.get_loop().is_closed()}
        if any(each.get_loop() is not loop for each in self._running):
            raise NotConnectedError(
                "a commit is under way in another event loop, which stands still: let it run, or close it"
            )
        outcome: asyncio.Future[Outcome] = loop.create_future()
        self._queue.append(_Waiting(item, outcome, copy_context()))
        self._send()
        return await outcome

    async def drain(self) -> None:
        """Return once nothing is queued or under way."""
        loop = asyncio.get_running_loop()
        while own := [each for each in self._running if each.get_loop() is loop]:
            await asyncio.wait(own)
            await asyncio.sleep(0)  # the next ones begin in this turn of the loop

    def _send(self) -> None:
        while len(self._running) < self._calls and (group := self._next_group()):
            items = [waiting.item for waiting in group]
            running = group[0].context.run(self._start, items)
            self._running[running] = items
            running.add_done_callback(partial(self._settle, group))

    def _next_group(self) -> list[_Waiting[Item, Outcome]]:
        queued = [waiting for waiting in self._queue if _is_awaited(waiting.outcome)]
        has_room = self._room([item for items in self._running.values() for item in items])
        count = next((place for place, waiting in enumerate(queued) if not has_room(waiting.item)), len(queued))
        if not self._running:
            count = max(count, 1)
        self._queue = queued[count:]
        return queued[:count]

    def _start(self, items: Sequence[Item]) -> "asyncio.Future[Sequence[Outcome | Exception]]":
        try:
            return asyncio.ensure_future(self._commit(items))
        except Exception as error:  # whatever it is, it belongs to the callers: none of them may wait for ever
            failed: asyncio.Future[Sequence[Outcome | Exception]] = asyncio.get_running_loop().create_future()
            failed.set_exception(error)
            return failed

    def _settle(
        self, group: list[_Waiting[Item, Outcome]], running: "asyncio.Future[Sequence[Outcome | Exception]]"
    ) -> None:
        for waiting, outcome in zip(group, _outcomes(running, len(group)), strict=True):
            if not _is_awaited(waiting.outcome):
                continue
            if isinstance(outcome, asyncio.CancelledError):
                waiting.outcome.cancel()
            elif isinstance(outcome, BaseException):
                waiting.outcome.set_exception(outcome)
            else:
                waiting.outcome.set_result(outcome)
        # Those who are woken now may submit again in this turn of the loop: the next group takes that along.
        running.get_loop().call_soon(self._end, running)

    def _end(self, running: "asyncio.Future[Sequence[Outcome | Exception]]") -> None:
        self._running.pop(running, None)
        self._send()


def _outcomes(running: "asyncio.Future[Sequence[Outcome | Exception]]", count: int) -> Sequence[Any]:
    if running.cancelled():
        return [asyncio.CancelledError()] * count
    if failure := running.exception():
        return [failure] * count
    outcomes = running.result()
    if len(outcomes) != count:
        wrong = RuntimeError(f"the commit of {count} items gave {len(outcomes)} outcomes; there must be one for each")
        return [wrong] * count
    return outcomes


def _is_awaited(outcome: "asyncio.Future[Outcome]") -> bool:
    return not (outcome.done() or outcome.get_loop().is_closed())
