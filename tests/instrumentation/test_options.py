"""Every option, by keyword and by environment variable."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from opentelemetry import metrics, trace
from opentelemetry.trace import Span, Tracer

from eventsource import InMemoryEventStore, InMemorySnapshotStore, OptimisticLockError, __version__
from eventsource.observability import TracingMixin
from eventsource.stores.operations import Append
from eventsource.testing.events import DOOR, opened
from eventsource_instrumentation import EventsourceInstrumentor
from eventsource_instrumentation.config import KINDS
from eventsource_instrumentation.instrumentor import instrumented
from eventsource_instrumentation.operations import TABLE
from eventsource_instrumentation.package import _instruments
from eventsource_instrumentation.recording import Recording

APPEND = "eventsource.event_store.append_events"
EXCLUDED = "OTEL_PYTHON_EVENTSOURCE_EXCLUDED_COMPONENTS"
PREFIXES = {
    "event_store": "eventsource.event_store.",
    "snapshot_store": "eventsource.snapshot.",
    "repository": "eventsource.repository.",
    "event_bus": "eventsource.event_bus.",
    "projection": "eventsource.projection.handle",
    "projection_runner": "eventsource.projection.catch_up",
    "checkpoint_repository": "eventsource.checkpoint.",
    "dlq_repository": "eventsource.dlq.",
}
SEEN: list[Any] = []


def note(*seen: Any) -> None:
    """Serve as a hook that is named in an environment variable."""
    SEEN.append(seen)


async def note_later(*seen: Any) -> None:
    """Serve as a hook that cannot be one."""


class NotesLater:
    """What is called like a function, and is async as well."""

    async def __call__(self, *seen: Any) -> None: ...


@pytest.fixture
def seen() -> list[Any]:
    """What `note` was called with."""
    SEEN.clear()
    return SEEN


class Service(TracingMixin):
    def __init__(self) -> None:
        self._init_tracing(__name__)

    def work(self) -> None:
        with self._create_span_context("service.work"):
            pass


class BothStores(InMemoryEventStore, InMemorySnapshotStore):
    """Events and snapshots in one place."""

    def __init__(self) -> None:
        InMemorySnapshotStore.__init__(self)
        InMemoryEventStore.__init__(self)


@pytest.fixture
def names_with(recording: Recording, tour: Callable[[Tracer], Awaitable[None]]) -> Callable[..., Awaitable[set[str]]]:
    """Does everything with the options that it is given and returns the names of the spans."""

    async def go(**options: Any) -> set[str]:
        with instrumented(tracer_provider=recording.spans.provider, **options):
            await tour(recording.spans.provider.get_tracer("here"))
            Service().work()
        return set(recording.spans.names) - {"batch"}

    return go


ALL = {name for row in TABLE.values() for name in row.spans} | {"service.work"}


class TestExcludedComponents:
    def test_every_kind_is_here(self) -> None:
        """Whoever adds one adds it to these tests."""
        assert {*PREFIXES, "application"} == KINDS

    @pytest.mark.parametrize("kind", PREFIXES)
    async def test_a_kind_of_component_is_left_alone(
        self, kind: str, names_with: Callable[..., Awaitable[set[str]]]
    ) -> None:
        """Its spans are missing, and no others."""
        names = await names_with(excluded_components=[kind])

        assert names == {name for name in ALL if not name.startswith(PREFIXES[kind])}

    async def test_the_applications_spans_are_a_kind_too(self, names_with: Callable[..., Awaitable[set[str]]]) -> None:
        """Only those of the library are left."""
        names = await names_with(excluded_components=["application"])

        assert names == ALL - {"service.work"}

    @pytest.mark.parametrize(
        ("kind", "names"),
        [
            ("event_store", ["eventsource.snapshot.get"]),
            ("snapshot_store", [APPEND, "eventsource.event_store.get_events"]),
        ],
    )
    async def test_a_component_of_two_kinds_is_left_alone_as_one_of_them(
        self, kind: str, names: list[str], recording: Recording, door: UUID
    ) -> None:
        """What counts is the operation: one database may be both stores."""
        both = BothStores()

        with instrumented(tracer_provider=recording.spans.provider, excluded_components=[kind]):
            await both.append_events(door, DOOR, opened(door, 1), 0)
            await both.get_events(door, DOOR)
            await both.get_snapshot(door, DOOR)

        assert recording.spans.names == names

    async def test_any_iterable_will_do(self, names_with: Callable[..., Awaitable[set[str]]]) -> None:
        """One that can be read but once, too."""
        names = await names_with(excluded_components=iter(["repository", "application"]))

        assert names == {name for name in ALL if not name.startswith("eventsource.repository.")} - {"service.work"}

    async def test_by_environment_variable(
        self, names_with: Callable[..., Awaitable[set[str]]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Separated by commas, with spaces or without."""
        monkeypatch.setenv(EXCLUDED, "repository, application,")

        names = await names_with()

        assert names == {name for name in ALL if not name.startswith("eventsource.repository.")} - {"service.work"}

    async def test_the_keyword_goes_before_the_variable(
        self, names_with: Callable[..., Awaitable[set[str]]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Nothing excluded is an answer too."""
        monkeypatch.setenv(EXCLUDED, "repository")

        assert await names_with(excluded_components=()) == ALL

    def test_an_unknown_kind_is_refused(self, instrumentor: EventsourceInstrumentor) -> None:
        """The error names those that there are."""
        with pytest.raises(ValueError, match="called event_shop; there are application, checkpoint_repository"):
            instrumentor.instrument(excluded_components=["event_store", "event_shop"])

    def test_a_string_is_no_collection_of_kinds(self, instrumentor: EventsourceInstrumentor) -> None:
        """The error shows what was meant."""
        with pytest.raises(ValueError, match=r"not the string 'event_bus': \['event_bus'\]"):
            instrumentor.instrument(excluded_components="event_bus")

    async def test_an_unknown_kind_in_the_variable_is_ignored_with_a_warning(
        self,
        names_with: Callable[..., Awaitable[set[str]]],
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """A slip in the environment must not keep an application from starting."""
        monkeypatch.setenv(EXCLUDED, "event_shop")

        assert await names_with() == ALL
        assert "OTEL_PYTHON_EVENTSOURCE_EXCLUDED_COMPONENTS='event_shop' is ignored" in caplog.text


class TestHooks:
    async def test_they_see_span_component_operation_and_result(
        self, recording: Recording, store: InMemoryEventStore, door: UUID
    ) -> None:
        """One before the operation, one after it."""
        calls: list[tuple[str, Any]] = []

        def request(span: Span, component: Any, operation: Any) -> None:
            span.set_attribute("asked", operation.expected_version)
            calls.append(("request", (component, type(operation))))

        def response(span: Span, component: Any, operation: Any, outcome: Any) -> None:
            span.set_attribute("answered", outcome.new_version)
            calls.append(("response", (component, type(operation))))

        with instrumented(tracer_provider=recording.spans.provider, request_hook=request, response_hook=response):
            await store.append_events(door, DOOR, opened(door, 2), 0)

        attributes = recording.spans.one(APPEND).attributes or {}
        assert (attributes["asked"], attributes["answered"]) == (0, 2)
        assert calls == [("request", (store, Append)), ("response", (store, Append))]

    async def test_the_response_hook_is_given_the_exception(
        self, recording: Recording, store: InMemoryEventStore, door: UUID
    ) -> None:
        """The same object that the caller catches."""
        outcomes: list[Any] = []

        with (
            instrumented(
                tracer_provider=recording.spans.provider, response_hook=lambda *args: outcomes.append(args[-1])
            ),
            pytest.raises(OptimisticLockError) as caught,
        ):
            await store.append_events(door, DOOR, opened(door, 2), 9)

        assert outcomes == [caught.value]

    async def test_they_are_not_called_where_nothing_is_recorded(
        self, recording: Recording, door: UUID, seen: list[Any]
    ) -> None:
        """There is no span to work on."""
        with instrumented(tracer_provider=recording.spans.provider, request_hook=note, response_hook=note):
            await InMemoryEventStore(enable_tracing=False).append_events(door, DOOR, opened(door, 1), 0)

        assert seen == []

    @pytest.mark.parametrize("option", ["request_hook", "response_hook"])
    @pytest.mark.parametrize(
        "hook",
        [note_later, partial(note_later, 1), NotesLater(), "os:getcwd"],
        ids=["async", "async in part", "async when called", "a name"],
    )
    def test_one_that_is_async_or_no_function_is_refused(
        self, option: str, hook: Any, instrumentor: EventsourceInstrumentor
    ) -> None:
        """Nobody would await it; the error comes at once."""
        with pytest.raises(TypeError, match="a hook must be a function that is not async, not"):
            instrumentor.instrument(**{option: hook})

        assert not instrumentor.is_instrumented_by_opentelemetry


def test_an_unknown_option_is_refused(instrumentor: EventsourceInstrumentor) -> None:
    """A slip of the pen would go unnoticed otherwise; the error names those that there are."""
    with pytest.raises(TypeError, match="knows no option exclude_components; it knows tracer_provider, meter_provider"):
        instrumentor.instrument(exclude_components=["event_store"])


def test_it_requires_no_other_distribution(instrumentor: EventsourceInstrumentor) -> None:
    """One distribution ships both packages, so that nothing can be in conflict."""
    assert tuple(instrumentor.instrumentation_dependencies()) == _instruments == ()


async def test_without_providers_the_global_ones_are_used(
    recording: Recording, store: InMemoryEventStore, door: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which is what an application sets up, as a rule."""
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", recording.spans.provider)
    monkeypatch.setattr("opentelemetry.metrics._internal._METER_PROVIDER", recording.metrics.provider)
    assert metrics.get_meter_provider() is recording.metrics.provider

    with instrumented():
        await store.append_events(door, DOOR, opened(door, 1), 0)

    assert recording.spans.names == [APPEND]
    assert recording.metrics.count("eventsource.event_store.append.duration") == 1


async def test_spans_and_metrics_say_who_made_them(recording: Recording, store: InMemoryEventStore, door: UUID) -> None:
    """Name, version, and the conventions that their names follow."""
    with instrumented(tracer_provider=recording.spans.provider):
        await store.append_events(door, DOOR, opened(door, 1), 0)

    scope = recording.spans.one(APPEND).instrumentation_scope
    assert scope is not None
    assert (scope.name, scope.version) == ("eventsource_instrumentation", __version__)
    assert scope.schema_url == "https://opentelemetry.io/schemas/1.44.0"
