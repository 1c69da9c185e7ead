"""Whatever happens to messages, handlers and consumers, and in whatever order: what lanes promise holds."""

import asyncio
import selectors
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from eventsource.bus.lanes import Consumption, Lanes
from eventsource.exceptions import EventBusError

MAX_RETRIES = 2
KEYS = "ab"


class Clock(selectors.DefaultSelector):
    """Lets time pass at once when there is nothing else to do; refuses to wait for ever."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.when_idle: Callable[[], None] = lambda: None

    def select(self, timeout: float | None = None) -> Any:
        assert timeout is not None, "everybody waits for somebody"
        if timeout > 0:
            self.when_idle()
            self.now += timeout
        return super().select(0)


class Loop(asyncio.SelectorEventLoop):
    """An event loop by that clock."""

    def __init__(self) -> None:
        self.clock = Clock()
        super().__init__(self.clock)

    def time(self) -> float:
        return self.clock.now


@dataclass(frozen=True)
class Ending:
    """How long something takes, and how it ends, also if it is cancelled."""

    seconds: float = 0.0
    how: str = "well"
    when_cancelled: str = "cancelled"

    async def come(self) -> None:
        try:
            await asyncio.sleep(self.seconds)
        except asyncio.CancelledError:
            if self.when_cancelled == "cancelled":
                raise
            self.end(self.when_cancelled)
        else:
            self.end(self.how)

    def end(self, how: str) -> None:
        if how == "badly":
            raise ValueError("no room")
        if how == "cancelled":
            raise asyncio.CancelledError


@dataclass(eq=False)
class Message:
    """What will become of a message, and what has become of it so far."""

    key: str
    attempts: tuple[Ending, ...]
    dead_letter: Ending
    settlement: Ending
    phase: str = "waiting"
    is_given_up: bool = False

    @property
    def is_over(self) -> bool:
        return self.phase == "settled" or self.is_given_up


@dataclass
class Rules(Consumption[Message]):
    """Does with messages what they say, and looks after what was promised."""

    concurrency: int
    window: int
    parking: int
    backoff: float
    max_retries: int = MAX_RETRIES
    lanes: Any = None
    wanted: str | None = None
    is_left: bool = False
    finishing: list[str] = field(default_factory=list)
    admitted: dict[str, list[Message]] = field(default_factory=lambda: defaultdict(list))
    settlements: list[Message] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)

    async def attempt(self, message: Message, number: int) -> None:
        self.require(message.phase == ("idle" if number else "waiting"), "a message was begun twice")
        self.require(not message.is_given_up and not self.is_left, "a withdrawn message was begun")
        self.require(all(other.is_over for other in self.before(message)), "a message has overtaken another one")
        message.phase = "at work"
        self.require(self.busy <= self.concurrency, "too many are handled at the same time")
        try:
            await message.attempts[number].come()
        except BaseException:
            message.phase = "idle" if number < MAX_RETRIES else "failed"
            raise
        message.phase = "done"

    async def dead_letter(self, message: Message, error: Exception, attempts: int) -> None:
        self.require((message.phase, attempts) == ("failed", MAX_RETRIES + 1), "a dead letter came too soon")
        await message.dead_letter.come()
        message.phase = "done"

    async def settle(self, message: Message) -> None:
        self.require(message.phase == "done", "a message was settled that is not done")
        message.phase = "settling"
        await message.settlement.come()
        message.phase = "settled"
        self.settlements.append(message)

    def require(self, condition: bool, otherwise: str) -> None:
        """Note *otherwise* unless *condition* holds; an error would be that of a handler."""
        if not condition:
            self.violations.append(otherwise)

    def should_retry(self, attempt: int, error: Exception) -> bool:
        return attempt < MAX_RETRIES

    def get_backoff(self, attempt: int) -> float:
        return self.backoff

    def give_up(self, keys: str, messages: list[Message]) -> None:
        for message in messages:
            message.is_given_up = message.phase != "settled"
        for key in keys:
            self.finishing.remove(key)

    @property
    def messages(self) -> list[Message]:
        return [message for messages in self.admitted.values() for message in messages]

    @property
    def busy(self) -> int:
        return sum(message.phase == "at work" for message in self.messages)

    def before(self, message: Message) -> list[Message]:
        messages = self.admitted[message.key]
        return messages[: messages.index(message)]

    def check_idle(self) -> None:
        """Nobody may be waiting for time to pass who could go on without."""
        assert self.wanted is None or not self.lanes.has_room(self.wanted), "there was room"
        heads = [self.head(key) for key in self.admitted if key not in self.finishing]
        is_missed = self.busy < self.concurrency and any(head and head.phase == "waiting" for head in heads)
        assert self.is_left or not is_missed, "a turn was missed"
        self.check_counts()

    def head(self, key: str) -> Message | None:
        return next((message for message in self.admitted[key] if not message.is_over), None)

    def check_counts(self) -> None:
        assert 0 <= self.lanes.parked <= self.parking
        assert 0 <= self.lanes.unsettled - self.lanes.parked <= self.window

    def check_end(self) -> None:
        """Nothing may count any more, be under way, or have been settled twice."""
        assert self.violations == []
        assert (self.lanes.unsettled, self.lanes.parked) == (0, 0)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert len(self.settlements) == len(set(self.settlements))


class Consumer:
    """Admits messages and finishes keys; what goes on besides is awaited at the end."""

    def __init__(self, lanes: Lanes[Message], rules: Rules) -> None:
        self.lanes = lanes
        self.rules = rules
        self.finishing: list[tuple[str, asyncio.Task[None]]] = []
        self.besides: list[asyncio.Task[None]] = []

    async def carry_out(self, plan: "Plan") -> None:
        try:
            for name, arguments in plan.steps:
                await getattr(self, name)(**arguments)
            await self.lanes.drain()
        finally:
            self.rules.is_left = True

    async def admit(self, key: str, patience: float, **fate: Any) -> None:
        while waits := [task for keys, task in self.finishing if key in keys and not task.done()]:
            await asyncio.wait(waits)
        message = Message(key, **fate)
        self.rules.wanted = key
        try:
            async with asyncio.timeout(patience):
                await self.lanes.admit(key, message)
                self.rules.admitted[key].append(message)
        except TimeoutError:
            pass
        finally:
            self.rules.wanted = None
        self.rules.check_counts()

    async def finish(self, keys: str, patience: float, waiting: bool) -> None:
        async def finish() -> None:
            chosen = [message for key in keys for message in self.rules.admitted[key] if not message.is_over]
            withdrawn = [message for message in chosen if message.phase == "waiting" and not waiting]
            self.rules.finishing += keys
            try:
                await self.lanes.finish(lambda message: message.key in keys, patience=patience, waiting=waiting)
            finally:
                self.rules.give_up(keys, chosen)
            assert all(message.phase == "waiting" for message in withdrawn), "a withdrawn message was begun"

        self.finishing.append((keys, asyncio.create_task(finish())))

    async def drain(self, patience: float) -> None:
        async def drain() -> None:
            before = [*self.rules.messages]
            async with asyncio.timeout(patience):
                await self.lanes.drain()
            chosen = {key for keys, _ in self.finishing for key in keys}
            assert all(message.is_over or message.key in chosen for message in before), "not everything was drained"

        self.besides.append(asyncio.create_task(drain()))

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def end(self) -> None:
        """See to the end of what goes on besides; nothing of it may fail but for a reason."""
        tasks = [*self.besides, *(task for _, task in self.finishing)]
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            assert isinstance(outcome, EventBusError | TimeoutError | None), outcome


@dataclass(frozen=True)
class Plan:
    """What a consumer does, and how it comes to its end."""

    concurrency: int
    window: int
    parking: int
    backoff: float
    steps: list[tuple[str, dict[str, Any]]]
    is_cancelled_after: float | None

    @property
    def may_fail(self) -> bool:
        fates = [fate for _, fate in self.steps if "settlement" in fate]
        return any(fate[name] != Ending(fate[name].seconds) for fate in fates for name in ("settlement", "dead_letter"))


async def carry_out(plan: Plan) -> None:
    rules = Rules(plan.concurrency, plan.window, plan.parking, plan.backoff)
    lanes = rules.lanes = Lanes(rules, rules, concurrency=plan.concurrency, window=plan.window, parking=plan.parking)
    consumer = Consumer(lanes, rules)
    asyncio.get_running_loop().clock.when_idle = rules.check_idle  # type: ignore[attr-defined]
    is_complete = False
    try:
        async with asyncio.timeout(plan.is_cancelled_after), lanes:
            await consumer.carry_out(plan)
            is_complete = True
    except TimeoutError:
        assert plan.is_cancelled_after is not None
    except EventBusError:
        assert plan.may_fail
    await consumer.end()
    rules.check_end()
    assert not is_complete or all(message.is_over for message in rules.messages), "a message was forgotten"


some_seconds = st.sampled_from([0.0, 0.5, 1.0, 2.0])
patience = st.sampled_from([0.0, 1.0, 3.0, 1000.0])
well = st.builds(Ending, some_seconds)
somehow = st.builds(
    Ending,
    some_seconds,
    st.sampled_from(["well", "badly", "badly", "cancelled"]),
    st.sampled_from(["cancelled", "badly", "well"]),
)
mostly_well = st.one_of([well] * 30 + [somehow])
admissions = st.tuples(
    st.just("admit"),
    st.fixed_dictionaries(
        {
            "key": st.sampled_from(KEYS),
            "patience": st.sampled_from([0.0, 1.0, 1000.0, 1000.0]),
            "attempts": st.tuples(*[somehow] * (MAX_RETRIES + 1)),
            "dead_letter": mostly_well,
            "settlement": mostly_well,
        }
    ),
)
other_steps = st.one_of(
    st.tuples(
        st.just("finish"),
        st.fixed_dictionaries(
            {"keys": st.sampled_from(["a", "b", KEYS]), "patience": patience, "waiting": st.booleans()}
        ),
    ),
    st.tuples(st.just("drain"), st.fixed_dictionaries({"patience": patience})),
    st.tuples(st.just("sleep"), st.fixed_dictionaries({"seconds": some_seconds})),
)
plans = st.builds(
    Plan,
    concurrency=st.integers(1, 3),
    window=st.integers(1, 6),
    parking=st.integers(0, 4),
    backoff=some_seconds,
    steps=st.lists(st.one_of(admissions, admissions, other_steps), min_size=4, max_size=25),
    is_cancelled_after=st.none() | st.none() | st.sampled_from([0.0, 1.0, 2.0, 5.0]),
)


@settings(max_examples=600, deadline=None)
@given(plans)
def test_lanes_keep_their_promises(plan: Plan) -> None:
    """Order, one at a time, settled once, within the limits, without delay, and nothing is left."""
    loop = Loop()
    try:
        loop.run_until_complete(carry_out(plan))
    finally:
        loop.close()
