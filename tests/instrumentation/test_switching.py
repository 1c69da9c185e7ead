"""Switching on and off, exactly and as often as one likes."""

import importlib
import pkgutil
import sys
from collections.abc import Awaitable, Callable, Iterator
from typing import Any
from uuid import UUID

import pytest
from opentelemetry.trace import Tracer

import eventsource
from eventsource import InMemoryEventBus, InMemoryEventStore
from eventsource.component import Component
from eventsource.stores.operations import Append
from eventsource.stores.values import AppendResult
from eventsource.testing.events import DOOR, Opened, opened
from eventsource_instrumentation import EventsourceInstrumentor
from eventsource_instrumentation import instrumentor as module_of_the_switch
from eventsource_instrumentation.instrumentor import Door, instrumented
from eventsource_instrumentation.operations import COMPONENTS, TABLE
from eventsource_instrumentation.recording import Recording

APPEND = "eventsource.event_store.append_events"
OWNERS = {row.owner for row in TABLE.values()}


def modules() -> Iterator[Any]:
    """Yield every module of eventsource that can be imported here."""
    for found in pkgutil.walk_packages(eventsource.__path__, "eventsource."):
        try:
            importlib.import_module(found.name)
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] == "eventsource":  # else it is a driver that is not installed
                raise
    yield from (module for name, module in sys.modules.items() if name.partition(".")[0] == "eventsource")


def anatomy() -> dict[tuple[str, str], object]:
    """Return every attribute of every module and class of eventsource."""
    owners: dict[str, Any] = {module.__name__: module for module in list(modules())}
    for module in list(owners.values()):
        classes = [each for each in vars(module).values() if isinstance(each, type)]
        owners |= {
            f"{each.__module__}.{each.__qualname__}": each for each in classes if "eventsource" in each.__module__
        }
    return {(owner, name): value for owner, each in owners.items() for name, value in vars(each).items()}


def differences(before: dict[tuple[str, str], object], after: dict[tuple[str, str], object]) -> set[tuple[str, str]]:
    """Return which attributes are not the same object, or not in both."""
    missing = object()
    return {key for key in before.keys() | after.keys() if before.get(key, missing) is not after.get(key, missing)}


def of(recording: Recording) -> dict[str, Any]:
    """Return the options that make *recording* record."""
    return {"tracer_provider": recording.spans.provider, "meter_provider": recording.metrics.provider}


async def test_a_hundred_times_on_and_off(
    instrumentor: EventsourceInstrumentor, recording: Recording, tour: Callable[[Tracer], Awaitable[None]]
) -> None:
    """On, exactly the doors differ; off, nothing does; and in the end everything is still emitted once."""
    before = anatomy()
    doors = {(f"{owner.__module__}.{owner.__qualname__}", "_perform") for owner in OWNERS}
    doors.add(("eventsource.observability.tracing.TracingMixin", "_create_span_context"))

    for _ in range(100):
        cycle = Recording()
        instrumentor.instrument(**of(cycle))
        assert differences(before, anatomy()) == doors
        instrumentor.uninstrument()
        assert differences(before, anatomy()) == set()
        cycle.shutdown()
    instrumentor.instrument(**of(recording))
    await tour(recording.spans.provider.get_tracer("here"))

    names = recording.spans.names
    assert {name for name in names if names.count(name) > 1} == {"eventsource.snapshot.delete"}  # by id and by type
    assert recording.metrics.total("eventsource.event_store.events.appended") == 1
    assert recording.metrics.count("eventsource.event_store.append.duration") == 1


async def test_an_old_provider_hears_nothing_of_the_next_cycle(
    instrumentor: EventsourceInstrumentor, recording: Recording, store: InMemoryEventStore, door: UUID
) -> None:
    """Spans and metrics go where the newest options say."""
    old = Recording()
    instrumentor.instrument(**of(old))
    instrumentor.uninstrument()

    instrumentor.instrument(**of(recording))
    await store.append_events(door, DOOR, opened(door, 1), 0)

    assert recording.spans.names == [APPEND]
    assert (old.spans.names, old.metrics.points) == ([], [])
    old.shutdown()


async def test_switching_on_twice_is_switching_on_once(
    instrumentor: EventsourceInstrumentor, recording: Recording, store: InMemoryEventStore, door: UUID
) -> None:
    """The second time changes nothing, and one switch-off undoes both."""
    before = anatomy()

    instrumentor.instrument(**of(recording))
    EventsourceInstrumentor().instrument(**of(recording))
    await store.append_events(door, DOOR, opened(door, 1), 0)
    instrumentor.uninstrument()

    assert recording.spans.names == [APPEND]
    assert differences(before, anatomy()) == set()


def test_switching_off_twice_is_switching_off_once(instrumentor: EventsourceInstrumentor) -> None:
    """Nothing more is taken away."""
    before = anatomy()
    instrumentor.instrument()

    instrumentor.uninstrument()
    instrumentor.uninstrument()

    assert differences(before, anatomy()) == set()


@pytest.mark.parametrize("port", COMPONENTS.values(), ids=COMPONENTS)
def test_off_costs_nothing(port: type[Component], instrumentor: EventsourceInstrumentor) -> None:
    """What is called is the component's own method, the plain function."""
    instrumentor.instrument()
    instrumentor.uninstrument()

    assert port._perform is Component._perform
    assert "_perform" not in vars(port)
    assert type(Component._perform) is type(lambda: None)


class TestWhatExistedBefore:
    async def test_objects_and_bound_handlers_are_observed(
        self,
        instrumentor: EventsourceInstrumentor,
        recording: Recording,
        openings: Callable[..., Any],
        door: UUID,
    ) -> None:
        """An application may be built first and instrumented later."""
        bus, projection = InMemoryEventBus(), openings(enable_tracing=True)
        bus.subscribe(Opened, projection.handle)

        instrumentor.instrument(**of(recording))
        await bus.publish(opened(door, 1))

        assert recording.spans.chain(recording.spans.one("eventsource.projection.handler")) == [
            "eventsource.event_bus.publish",
            "eventsource.event_bus.dispatch",
            "eventsource.event_bus.handle",
            "eventsource.projection.handle",
            "eventsource.projection.handler",
        ]

    async def test_a_bound_method_that_was_kept_falls_silent(
        self,
        instrumentor: EventsourceInstrumentor,
        recording: Recording,
        store: InMemoryEventStore,
        door: UUID,
    ) -> None:
        """Whether it is a public one or the door itself."""
        instrumentor.instrument(**of(recording))
        append, perform = store.append_events, store._perform

        instrumentor.uninstrument()
        await append(door, DOOR, opened(door, 1), 0)
        await perform(store._append, Append(door, DOOR, tuple(opened(door, 1)), 1, None))

        assert await store.get_stream_version(door, DOOR) == 2
        assert (recording.spans.names, recording.metrics.points) == ([], [])

    async def test_an_operation_that_is_under_way_is_finished_properly(
        self, instrumentor: EventsourceInstrumentor, recording: Recording, door: UUID
    ) -> None:
        """Switching off in the middle of it harms neither it nor its span."""

        class Switching(InMemoryEventStore):
            async def _append(self, append: Append) -> AppendResult:
                instrumentor.uninstrument()
                return await super()._append(append)

        instrumentor.instrument(**of(recording))

        result = await Switching().append_events(door, DOOR, opened(door, 1), 0)

        assert result.new_version == 1
        assert recording.spans.names == [APPEND]


class Audited(InMemoryEventStore):
    """A backend of somebody else's, which extends another backend's hook."""

    async def _append(self, append: Append) -> AppendResult:
        return await super()._append(append)


class TestBackendsOfOthers:
    async def test_one_that_was_defined_before_has_one_span_per_operation(
        self, instrumentor: EventsourceInstrumentor, recording: Recording, door: UUID
    ) -> None:
        """The port's door is theirs too."""
        instrumentor.instrument(**of(recording))

        await Audited().append_events(door, DOOR, opened(door, 1), 0)

        assert recording.spans.names == [APPEND]

    async def test_one_that_is_defined_afterwards_has_one_span_per_operation(
        self, instrumentor: EventsourceInstrumentor, recording: Recording, door: UUID
    ) -> None:
        """Defining a class while it is on is nothing special."""
        instrumentor.instrument(**of(recording))

        class Logged(Audited):
            async def _append(self, append: Append) -> AppendResult:
                return await super()._append(append)

        await Logged().append_events(door, DOOR, opened(door, 1), 0)

        assert recording.spans.names == [APPEND]

    async def test_one_that_was_defined_while_on_works_when_off(
        self, instrumentor: EventsourceInstrumentor, recording: Recording, door: UUID
    ) -> None:
        """It has kept nothing of the wrapper."""
        instrumentor.instrument(**of(recording))
        kind = type("Logged", (Audited,), {})

        instrumentor.uninstrument()

        assert (await kind().append_events(door, DOOR, opened(door, 1), 0)).new_version == 1
        assert recording.spans.names == []

    @pytest.mark.parametrize("name", ["append_events", "_perform"])
    def test_one_that_overrides_a_final_method_is_still_refused(
        self, name: str, instrumentor: EventsourceInstrumentor
    ) -> None:
        """The guard sees through the wrapper."""
        instrumentor.instrument()

        with pytest.raises(TypeError, match=f"{name}, which is final"):
            type("Bad", (InMemoryEventStore,), {name: lambda self: None})

    async def test_one_that_wraps_another_has_a_span_for_its_own_operation_only(
        self, instrumentor: EventsourceInstrumentor, recording: Recording, store: InMemoryEventStore, door: UUID
    ) -> None:
        """Composites delegate hook to hook, so that nothing is counted twice."""

        class Outer(InMemoryEventStore):
            async def _append(self, append: Append) -> AppendResult:
                return await store._append(append)

        instrumentor.instrument(**of(recording))

        await Outer().append_events(door, DOOR, opened(door, 1), 0)

        assert recording.spans.names == [APPEND]
        assert recording.metrics.count("eventsource.event_store.append.duration") == 1


class TestFailingToSwitchOn:
    @pytest.fixture
    def broken_door(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Yet another door, the last, which belongs to a class whose attributes cannot be set."""
        monkeypatch.setitem(module_of_the_switch._DOORS, "immovable", Door(int, "bit_length"))

    @pytest.mark.usefixtures("broken_door")
    def test_nothing_stays_half_done(self, instrumentor: EventsourceInstrumentor) -> None:
        """The doors that were open already are closed again."""
        before = anatomy()

        with pytest.raises(TypeError, match="cannot set 'bit_length'"):
            instrumentor.instrument()

        assert differences(before, anatomy()) == set()
        assert not instrumentor.is_instrumented_by_opentelemetry

    async def test_it_works_once_the_cause_is_gone(
        self,
        instrumentor: EventsourceInstrumentor,
        recording: Recording,
        store: InMemoryEventStore,
        door: UUID,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """The failure has left no trace in the switch either."""
        with monkeypatch.context() as patch:
            patch.setitem(module_of_the_switch._DOORS, "immovable", Door(int, "bit_length"))
            with pytest.raises(TypeError):
                instrumentor.instrument()

        instrumentor.instrument(**of(recording))
        await store.append_events(door, DOOR, opened(door, 1), 0)

        assert recording.spans.names == [APPEND]

    @pytest.mark.parametrize("option", [{"excluded_components": ["event_shop"]}, {"enable_everything": True}])
    def test_a_bad_option_changes_nothing(self, option: dict[str, Any], instrumentor: EventsourceInstrumentor) -> None:
        """It is refused before anything is done."""
        before = anatomy()

        with pytest.raises((TypeError, ValueError)):
            instrumentor.instrument(**option)

        assert differences(before, anatomy()) == set()
        assert not instrumentor.is_instrumented_by_opentelemetry

    def test_a_door_that_could_not_be_opened_opens_later(self) -> None:
        """What stood in the way is no wrapper of somebody else's."""

        class Sealed(type):
            sealed = True

            def __setattr__(cls, name: str, value: object) -> None:
                if Sealed.sealed:
                    raise AttributeError("sealed")
                super().__setattr__(name, value)

        class Owner(metaclass=Sealed):
            def enter(self) -> str:
                return "entered"

        door = Door(Owner, "enter")
        with pytest.raises(AttributeError):
            door.open(lambda method: "observed")
        door.close()
        Sealed.sealed = False

        door.open(lambda method, owner: f"observed: {method()}")

        assert Owner().enter() == "observed: entered"


class TestSettingAside:
    """`instrumented` is for tests, which may run in a process that is instrumented already."""

    async def test_what_was_on_before_is_on_again(
        self, instrumentor: EventsourceInstrumentor, recording: Recording, store: InMemoryEventStore, door: UUID
    ) -> None:
        """With its own options, and it has heard nothing in between."""
        inner = Recording()
        instrumentor.instrument(**of(recording))

        with instrumented(**of(inner)):
            await store.append_events(door, DOOR, opened(door, 1), 0)
        heard_meanwhile = recording.spans.names
        await store.get_events(door, DOOR)

        assert (inner.spans.names, heard_meanwhile) == ([APPEND], [])
        assert recording.spans.names == ["eventsource.event_store.get_events"]
        inner.shutdown()

    async def test_options_that_are_refused_do_not_switch_it_off(
        self, instrumentor: EventsourceInstrumentor, recording: Recording, store: InMemoryEventStore, door: UUID
    ) -> None:
        """Also then everything is as it was before."""
        instrumentor.instrument(**of(recording))

        with pytest.raises(TypeError), instrumented(enable_everything=True):
            pass
        await store.append_events(door, DOOR, opened(door, 1), 0)

        assert recording.spans.names == [APPEND]

    def test_what_was_off_before_is_off_again(self, instrumentor: EventsourceInstrumentor) -> None:
        """Also when the block fails."""
        before = anatomy()

        with pytest.raises(KeyError), instrumented():
            raise KeyError

        assert differences(before, anatomy()) == set()
