"""Switched off, it keeps nothing of what it was given."""

import gc
import weakref
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import TracerProvider

from eventsource import InMemoryEventStore
from eventsource.observability import TracingMixin
from eventsource.testing.events import DOOR, opened
from eventsource_instrumentation import EventsourceInstrumentor

OPTIONS: dict[str, Callable[[], Any]] = {
    "tracer_provider": lambda: TracerProvider(shutdown_on_exit=False),
    "meter_provider": lambda: MeterProvider(shutdown_on_exit=False),
    "request_hook": lambda: lambda *args: None,
    "response_hook": lambda: lambda *args: None,
}


class Service(TracingMixin):
    def __init__(self) -> None:
        self._init_tracing(__name__)


@pytest.mark.parametrize(("name", "make"), OPTIONS.items(), ids=OPTIONS)
async def test_options_are_let_go(
    name: str, make: Callable[[], Any], instrumentor: EventsourceInstrumentor, store: InMemoryEventStore, door: UUID
) -> None:
    """A provider holds exporters with their threads and connections, a hook whatever it closes over."""
    option = make()
    kept = weakref.ref(option)
    instrumentor.instrument(**{name: option})
    await store.append_events(door, DOOR, opened(door, 1), 0)
    with Service()._create_span_context("service.work"):
        pass

    instrumentor.uninstrument()
    del option
    gc.collect()

    assert kept() is None
