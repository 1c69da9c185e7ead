"""Operations that are observed."""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, TypeAlias
from uuid import uuid4

from opentelemetry import trace
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from benchmarks.measuring import Figure, compared, figure, stopwatch, timed
from benchmarks.sample import ACCOUNT, Account, Deposited, deposits
from eventsource import AggregateRepository, InMemoryEventStore
from eventsource_instrumentation.instrumentor import instrumented
from eventsource_instrumentation.recording import Recording

OPERATIONS = 1000

Append: TypeAlias = Callable[[InMemoryEventStore, Deposited, int], Awaitable[Any]]


async def run() -> list[Figure]:
    """Compare with the same operations unobserved, and the spans with spans written by hand."""
    no_metrics = NoOpMeterProvider()
    tracers = {
        "no SDK": trace.get_tracer_provider(),
        "sampled out": TracerProvider(sampler=ALWAYS_OFF),
        "recorded": TracerProvider(sampler=ALWAYS_ON),
    }
    states = {name: {"tracer_provider": each, "meter_provider": no_metrics} for name, each in tracers.items()}
    meters = MeterProvider(metric_readers=[InMemoryMetricReader()])
    states["recorded, and metrics"] = {"tracer_provider": tracers["recorded"], "meter_provider": meters}
    figures = []
    for what, work in {"append": _append_all, "save": _save_all}.items():
        ways = {f"{what}, {name}": partial(_observed, work, options) for name, options in states.items()}
        figures += await compared({f"{what}, unobserved": work, **ways}, f"{what}, unobserved")
    span = await _span_of_an_append()
    for name in tracers:
        figures.append(await _against_by_hand(name, states[name], span))
    return figures


async def _against_by_hand(name: str, options: Mapping[str, Any], span: ReadableSpan) -> Figure:
    """
    Compare what a span adds to an append with what the same span, written by hand around the call, adds.

    By hand too the context goes into the headers; the attributes are ready and need not be found.
    """
    tracer = options["tracer_provider"].get_tracer("by hand")
    attributes, propagator = dict(span.attributes or {}), TraceContextTextMapPropagator()

    async def append(store: InMemoryEventStore, event: Deposited, version: int) -> None:
        with tracer.start_as_current_span(span.name, kind=span.kind, attributes=attributes):
            headers: dict[str, str] = {}
            propagator.inject(headers)
            await store.append_events(event.aggregate_id, ACCOUNT, [event], version, headers=headers)

    seconds = await timed(
        {
            "unobserved": _append_all,
            "observed": partial(_observed, _append_all, options),
            "by hand": partial(_append_all, append),
        }
    )
    added = {
        way: [each - plain for each, plain in zip(seconds[way], seconds["unobserved"], strict=True)]
        for way in ("observed", "by hand")
    }
    return figure(f"what a span adds, {name}", added["observed"], "by hand", added["by hand"])


async def _observed(work: Callable[[], Awaitable[float]], options: Mapping[str, Any]) -> float:
    with instrumented(**options):
        return await work()


async def _append(store: InMemoryEventStore, event: Deposited, version: int) -> None:
    await store.append_events(event.aggregate_id, ACCOUNT, [event], version)


async def _append_all(append: Append = _append) -> float:
    store, events = InMemoryEventStore(), deposits(uuid4(), OPERATIONS)
    with stopwatch() as watch:
        for version, event in enumerate(events):
            await append(store, event, version)
    return watch.seconds / OPERATIONS


async def _save_all() -> float:
    repository = AggregateRepository(InMemoryEventStore(), Account, ACCOUNT)
    accounts = [repository.create_new(uuid4()) for _ in range(OPERATIONS)]
    for account in accounts:
        account.deposit(1)
    with stopwatch() as watch:
        for account in accounts:
            await repository.save(account)
    return watch.seconds / OPERATIONS


async def _span_of_an_append() -> ReadableSpan:
    """Return the span that an append gets, to be written by hand."""
    recording = Recording()
    (event,) = deposits(uuid4(), 1)
    with instrumented(tracer_provider=recording.spans.provider, meter_provider=recording.metrics.provider):
        await _append(InMemoryEventStore(), event, 0)
    recording.shutdown()
    (span,) = recording.spans.finished
    return span
