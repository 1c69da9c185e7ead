"""Lanes: the messages of one aggregate one after another, those of others meanwhile."""

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Hashable, Iterator
from contextvars import Context
from dataclasses import dataclass, field
from functools import partial
from typing import Generic, Self, TypeVar

from eventsource.cancellation import is_being_cancelled, unless_cancelled_within
from eventsource.exceptions import EventBusError
from eventsource.retry import RetryPolicy

Message = TypeVar("Message")


def _cancelled(what: str) -> Callable[[], EventBusError]:
    return lambda: EventBusError(f"{what} was cancelled, but not the consumer")


HANDLER_CANCELLED = _cancelled("the handler")
"""Makes the error of a handler that was cancelled by itself."""
_KEEPING_CANCELLED = _cancelled("keeping the dead letter")
_SETTLEMENT_CANCELLED = _cancelled("the settlement")


class Consumption(ABC, Generic[Message]):
    """What a bus does with a message when its turn has come."""

    @abstractmethod
    async def attempt(self, message: Message, number: int) -> None:
        """Make attempt *number*, which counts from 0, to handle *message*; raise what went wrong."""

    @abstractmethod
    async def dead_letter(self, message: Message, error: Exception, attempts: int) -> None:
        """Keep *message*, which no attempt has handled, where somebody sees to it; return once that is certain."""

    @abstractmethod
    async def settle(self, message: Message) -> None:
        """Tell the broker that *message* is done."""


class _GivenUpError(Exception):
    """A message is left to whoever is given it next."""


@dataclass(slots=True, eq=False)
class _Item(Generic[Message]):
    """One message: whether it was begun, whether it waits for an attempt, and whether it gets no other one."""

    message: Message
    is_begun: bool = False
    is_idle: bool = True
    is_last_attempt: bool = False


@dataclass(slots=True, eq=False)
class _Lane(Generic[Message]):
    """The messages of one key: one in hand, and those that wait behind it, some of them not counted."""

    in_hand: _Item[Message]
    task: "asyncio.Task[None]" = field(init=False)
    waiting: deque[_Item[Message]] = field(default_factory=deque)
    parked: int = 0

    @property
    def length(self) -> int:
        return len(self.waiting) + 1

    def chosen(self, choice: Callable[[Message], bool]) -> Iterator[_Item[Message]]:
        return (item for item in (self.in_hand, *self.waiting) if choice(item.message))


class Lanes(Generic[Message]):
    """
    Lets *consumption* handle messages: those of one key in their order, those of different keys concurrently.

    A message that fails is tried again in its place, as *policy* says; its slot is free for others while it waits. It
    is settled after it was handled or became a dead letter, and the next one of its key begins only then. Each message
    has a context of its own.

    An async context manager: leaving it cancels what is under way, unsettled; `finish` first, to see it done.

    Args:
        consumption: Attempts, dead letters and settlement.
        policy: When to try again.
        concurrency: How many messages are handled at the same time.
        window: How many messages may be unsettled.
        parking: How many more may wait, not counted, of those keys that would fill half of the window alone, because
            one keeps failing or takes its time, or there are so many.
    """

    def __init__(
        self,
        consumption: Consumption[Message],
        policy: RetryPolicy,
        *,
        concurrency: int,
        window: int,
        parking: int = 0,
    ) -> None:
        self._consumption = consumption
        self._policy = policy
        self._slots = asyncio.Semaphore(concurrency)
        self._window = window
        self._parking = parking
        self._lanes: dict[Hashable, _Lane[Message]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._progress = asyncio.Event()
        self.unsettled = 0
        """How many messages were admitted and are not settled, parked ones included."""
        self.parked = 0
        """How many of them are not counted, because they wait in a lane that would fill half of the window."""
        self.failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Is done, with an `EventBusError`, once a dead letter or a settlement has failed."""

    def has_room(self, key: Hashable) -> bool:
        """Tell whether `admit` would take a message of *key* at once."""
        return self.unsettled - self.parked < self._window or self._may_park(self._lanes.get(key))

    async def admit(self, key: Hashable, message: Message) -> None:
        """
        Take *message* as the last one of its *key*, as soon as there is room.

        Raises:
            EventBusError: If a dead letter or a settlement has failed, after which nothing is taken any more.
        """
        while not self.has_room(key):
            await self._await_progress()
        self._check()
        self.unsettled += 1
        item = _Item(message)
        if lane := self._lanes.get(key):
            lane.waiting.append(item)
            self._park(lane)
        else:
            self._lanes[key] = lane = _Lane(item)
            self._begin(key, lane)

    async def drain(self) -> None:
        """
        Return when everything that was admitted is settled.

        Raises:
            EventBusError: If a dead letter or a settlement has failed.
        """
        while self.unsettled:
            self._check()
            await self._await_progress()
        self._check()

    async def finish(
        self, choice: Callable[[Message], bool] = lambda message: True, *, patience: float, waiting: bool
    ) -> None:
        """
        Bring the chosen messages to an end, soon: they are settled if they are handled, and left unsettled otherwise.

        None is tried again, and what waits behind one that failed is withdrawn. Admit none of them meanwhile.

        Args:
            choice: Which messages.
            patience: Seconds after which handlers are cancelled.
            waiting: Whether those are handled, too, that were not begun yet.
        """
        for lane in tuple(self._lanes.values()):
            self._hasten(lane, choice, waiting)
        try:
            async with asyncio.timeout(patience):
                while self._with_chosen(choice):
                    await self._await_progress()
        except TimeoutError:
            for lane in self._with_chosen(choice):
                self._withdraw(lane, choice)
            await _cancel({lane.task for lane in self._with_chosen(choice)})

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        if not self.failure.done():
            self.failure.cancel()
        elif not self.failure.cancelled():
            self.failure.exception()  # whoever wanted to know has asked
        for lane in self._lanes.values():
            self._withdraw(lane, lambda message: True)
        interruption = None
        while self._tasks:
            try:
                await _cancel(self._tasks)
            except asyncio.CancelledError as error:
                interruption = error  # what was begun has to end before
        if interruption is not None:
            raise interruption

    def _begin(self, key: Hashable, lane: _Lane[Message]) -> None:
        # In an empty context: what was current when the message came, or for the one before it, is not its own.
        lane.task = asyncio.create_task(self._handle(lane.in_hand), context=Context())
        self._tasks.add(lane.task)
        lane.task.add_done_callback(partial(self._ended, key, lane))

    def _ended(self, key: Hashable, lane: _Lane[Message], task: "asyncio.Task[None]") -> None:
        """Go on to the next message of *lane*; a callback, because a task may be cancelled before it begins."""
        self._tasks.discard(task)
        if not self._has_settled(task):
            self._withdraw(lane, lambda message: True)
        self.unsettled -= 1
        if lane.waiting:
            lane.in_hand = lane.waiting.popleft()
            self._unpark(lane, min(lane.parked, 1))
            self._begin(key, lane)
        else:
            del self._lanes[key]
        self._progress.set()

    def _has_settled(self, task: "asyncio.Task[None]") -> bool:
        if task.cancelled():
            return False
        error = task.exception()
        if error is not None and not isinstance(error, _GivenUpError):
            self._fail(error)
        return error is None

    def _fail(self, error: BaseException) -> None:
        if not self.failure.done():
            failure = EventBusError(f"a message could not be settled: {type(error).__name__}: {error}")
            failure.__cause__ = error
            self.failure.set_exception(failure)

    async def _handle(self, item: _Item[Message]) -> None:
        number = 0
        while (error := await self._attempt(item, number)) is not None:
            if not self._policy.should_retry(number, error):
                letter = self._consumption.dead_letter(item.message, error, number + 1)
                await unless_cancelled_within(letter, _KEEPING_CANCELLED)
                break
            if item.is_last_attempt:
                raise _GivenUpError
            item.is_idle = True
            await asyncio.sleep(self._policy.get_backoff(number))
            number += 1
        await unless_cancelled_within(self._consumption.settle(item.message), _SETTLEMENT_CANCELLED)

    async def _attempt(self, item: _Item[Message], number: int) -> Exception | None:
        async with self._slots:
            item.is_begun, item.is_idle = True, False
            try:
                await unless_cancelled_within(self._consumption.attempt(item.message, number), HANDLER_CANCELLED)
            except Exception as error:  # whatever the handler raises, the policy decides
                if is_being_cancelled():
                    raise _GivenUpError from error
                return error
        return None

    def _hasten(self, lane: _Lane[Message], choice: Callable[[Message], bool], waiting: bool) -> None:
        for item in lane.chosen(choice):
            item.is_last_attempt = True
        if not waiting:
            self._withdraw(lane, choice)
        item = lane.in_hand
        if item.is_idle and (item.is_begun or not waiting) and choice(item.message):
            lane.task.cancel()

    def _withdraw(self, lane: _Lane[Message], choice: Callable[[Message], bool]) -> None:
        before = len(lane.waiting)
        lane.waiting = deque(item for item in lane.waiting if not choice(item.message))
        self.unsettled -= before - len(lane.waiting)
        self._unpark(lane, max(0, lane.parked - len(lane.waiting)))
        self._progress.set()

    def _with_chosen(self, choice: Callable[[Message], bool]) -> list[_Lane[Message]]:
        return [lane for lane in self._lanes.values() if any(lane.chosen(choice))]

    def _may_park(self, lane: _Lane[Message] | None) -> bool:
        return lane is not None and 2 * lane.length >= self._window and self.parked < self._parking

    def _park(self, lane: _Lane[Message]) -> None:
        """Stop counting the messages that wait in *lane*, if they are half of what there is room for."""
        if 2 * lane.length < self._window:
            return
        more = min(len(lane.waiting) - lane.parked, self._parking - self.parked)
        lane.parked += more
        self.parked += more

    def _unpark(self, lane: _Lane[Message], number: int) -> None:
        lane.parked -= number
        self.parked -= number

    async def _await_progress(self) -> None:
        self._progress.clear()
        await self._progress.wait()

    def _check(self) -> None:
        if self.failure.cancelled():
            raise EventBusError("nothing is handled any more: the consumer has ended")
        if self.failure.done():
            self.failure.result()


async def _cancel(tasks: "set[asyncio.Task[None]]") -> None:
    """Return when *tasks* have ended and their callbacks were called."""
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)
