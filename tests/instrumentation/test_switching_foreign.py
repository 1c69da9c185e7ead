"""Other libraries wrap the doors too, before us and after us."""

import functools
from collections.abc import Callable, Iterator
from inspect import getattr_static
from typing import Any, TypeAlias
from uuid import UUID

import pytest
import wrapt

from eventsource import InMemoryEventStore
from eventsource.component import Component
from eventsource.stores.interface import EventStore
from eventsource.testing.events import DOOR, opened
from eventsource_instrumentation import EventsourceInstrumentor
from eventsource_instrumentation.recording import Recording

APPEND = "eventsource.event_store.append_events"

Wrap: TypeAlias = Callable[[Any, list[str]], Any]


def with_wrapt(below: Any, calls: list[str]) -> Any:
    """Return a wrapper that tells what it wraps."""

    def wrapper(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
        calls.append("foreign")
        return wrapped(*args, **kwargs)

    return wrapt.FunctionWrapper(below, wrapper)


def plain(below: Any, calls: list[str]) -> Any:
    """Return a wrapper that looks like what it wraps, and does not tell what that is."""

    async def wrapper(self: Any, *args: Any) -> Any:
        calls.append("foreign")
        return await below.__get__(self, type(self))(*args)

    functools.update_wrapper(wrapper, below)
    del wrapper.__wrapped__  # type: ignore[attr-defined]
    return wrapper


class Foreign:
    """Somebody else's wrappers on the door of event stores."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self._below: list[Any] = []

    def put(self, wrap: Wrap) -> Any:
        """Put a wrapper on the door and return it."""
        self._below.append(vars(EventStore).get("_perform"))
        wrapper = wrap(vars(EventStore).get("_perform", Component._perform), self.calls)
        EventStore._perform = wrapper  # type: ignore[method-assign]
        return wrapper

    def take(self) -> None:
        """Take the topmost wrapper away and put back what was below."""
        below = self._below.pop()
        if below is None:
            del EventStore._perform
        else:
            EventStore._perform = below  # type: ignore[method-assign]

    def take_all(self) -> None:
        """Take all wrappers away."""
        while self._below:
            self.take()


@pytest.fixture
def foreign(instrumentor: EventsourceInstrumentor) -> Iterator[Foreign]:
    """Wrappers of somebody else's, which are taken away in the end."""
    foreign = Foreign()
    yield foreign
    foreign.take_all()
    instrumentor.instrument()  # so that switching off finds its own wrapper on top
    instrumentor.uninstrument()
    if "_perform" in vars(EventStore):  # a wrapper that a foreign one has put back and that nobody will ask for
        del EventStore._perform


@pytest.fixture
def on(instrumentor: EventsourceInstrumentor, recording: Recording) -> Callable[[], None]:
    """Switches on."""
    providers = {"tracer_provider": recording.spans.provider, "meter_provider": recording.metrics.provider}
    return lambda: instrumentor.instrument(**providers)


@pytest.fixture
def append(store: InMemoryEventStore, door: UUID, foreign: Foreign) -> Callable[[], Any]:
    """Appends an event and tells how often the foreign wrappers were called for it."""

    async def append_one() -> int:
        foreign.calls.clear()
        version = await store.get_stream_version(door, DOOR)
        before = len(foreign.calls)
        await store.append_events(door, DOOR, opened(door, 1), version)
        return len(foreign.calls) - before

    return append_one


both = pytest.mark.parametrize("wrap", [with_wrapt, plain])


@both
async def test_one_that_came_before_is_put_back(
    wrap: Wrap,
    instrumentor: EventsourceInstrumentor,
    recording: Recording,
    foreign: Foreign,
    on: Callable[[], None],
    append: Callable[[], Any],
) -> None:
    """We stand on top of it, and afterwards it is there as the same object."""
    theirs = foreign.put(wrap)

    on()
    called = await append()
    instrumentor.uninstrument()

    assert (called, recording.spans.names) == (1, [APPEND])
    assert vars(EventStore)["_perform"] is theirs


@both
async def test_one_that_came_afterwards_stays(
    wrap: Wrap,
    instrumentor: EventsourceInstrumentor,
    recording: Recording,
    foreign: Foreign,
    on: Callable[[], None],
    append: Callable[[], Any],
) -> None:
    """Switching off takes away what is ours only; ours beneath theirs lets everything pass."""
    on()
    theirs = foreign.put(wrap)

    instrumentor.uninstrument()
    called = await append()

    assert vars(EventStore)["_perform"] is theirs
    assert (called, recording.spans.names) == (1, [])


@both
async def test_ours_beneath_theirs_is_used_again(
    wrap: Wrap,
    instrumentor: EventsourceInstrumentor,
    recording: Recording,
    foreign: Foreign,
    on: Callable[[], None],
    append: Callable[[], Any],
) -> None:
    """However often it is switched, nothing is stacked, and there is one span."""
    on()
    theirs = foreign.put(wrap)
    for _ in range(3):
        instrumentor.uninstrument()
        on()

    called = await append()

    assert vars(EventStore)["_perform"] is theirs
    assert (called, recording.spans.names) == (1, [APPEND])


@both
async def test_ours_goes_when_theirs_is_gone(
    wrap: Wrap, instrumentor: EventsourceInstrumentor, foreign: Foreign, on: Callable[[], None]
) -> None:
    """The other library puts back what it found, ours; the next switching off removes that."""
    on()
    foreign.put(wrap)
    instrumentor.uninstrument()
    foreign.take()

    on()
    instrumentor.uninstrument()

    assert "_perform" not in vars(EventStore)


@both
async def test_another_one_on_top_while_it_is_off_makes_no_second_span(
    wrap: Wrap,
    instrumentor: EventsourceInstrumentor,
    recording: Recording,
    foreign: Foreign,
    on: Callable[[], None],
    append: Callable[[], Any],
) -> None:
    """Ours may lie beneath what does not tell what it wraps; then that one stays silent."""
    on()
    foreign.put(wrap)
    instrumentor.uninstrument()
    foreign.put(wrap)

    on()
    called = await append()

    assert (called, recording.spans.names) == (2, [APPEND])
    assert recording.metrics.count("eventsource.event_store.append.duration") == 1


@both
async def test_ours_that_was_thrown_away_is_made_anew(
    wrap: Wrap,
    instrumentor: EventsourceInstrumentor,
    recording: Recording,
    foreign: Foreign,
    on: Callable[[], None],
    append: Callable[[], Any],
) -> None:
    """Another library that puts back more than it took does not silence us for ever."""
    on()
    foreign.put(wrap)
    instrumentor.uninstrument()
    foreign.take()
    del EventStore._perform

    on()
    await append()

    assert recording.spans.names == [APPEND]


@both
async def test_two_on_top_leave_one_span(
    wrap: Wrap,
    instrumentor: EventsourceInstrumentor,
    recording: Recording,
    foreign: Foreign,
    on: Callable[[], None],
    append: Callable[[], Any],
) -> None:
    """Ours lies beneath both, and is used again."""
    on()
    foreign.put(wrap)
    foreign.put(wrap)
    instrumentor.uninstrument()

    on()
    called = await append()

    assert (called, recording.spans.names) == (2, [APPEND])


class Ledger(InMemoryEventStore):
    """A backend of a user's."""


@pytest.fixture
def theirs_on_a_backend() -> Iterator[Callable[[Wrap], list[str]]]:
    """Puts a wrapper on one backend only, which is taken away in the end; returns the calls that it notes."""

    def put(wrap: Wrap) -> list[str]:
        calls: list[str] = []
        Ledger._perform = wrap(getattr_static(Ledger, "_perform"), calls)  # type: ignore[method-assign]
        return calls

    yield put
    del Ledger._perform


@both
async def test_one_on_a_backend_keeps_ours_beneath_it(
    wrap: Wrap,
    instrumentor: EventsourceInstrumentor,
    recording: Recording,
    on: Callable[[], None],
    theirs_on_a_backend: Callable[[Wrap], list[str]],
    door: UUID,
) -> None:
    """It was put there while we were on and has ours inside; switched off and on, that one observes again, once."""
    on()
    calls = theirs_on_a_backend(wrap)
    instrumentor.uninstrument()
    await Ledger().append_events(door, DOOR, opened(door, 1), 0)
    while_off = list(recording.spans.names)

    on()
    await Ledger().append_events(door, DOOR, opened(door, 1), 0)

    assert (while_off, recording.spans.names) == ([], [APPEND])
    assert calls == ["foreign", "foreign"]


async def test_ours_is_found_beneath_wrappers_that_tell_what_they_wrap(
    instrumentor: EventsourceInstrumentor,
    recording: Recording,
    foreign: Foreign,
    on: Callable[[], None],
    append: Callable[[], Any],
) -> None:
    """Also where another one came on top while it was off: it is used again."""
    on()
    foreign.put(with_wrapt)
    instrumentor.uninstrument()
    theirs = foreign.put(with_wrapt)

    on()
    await append()

    assert vars(EventStore)["_perform"] is theirs
    assert recording.spans.names == [APPEND]
