"""The table covers everything that there is to be observed, and nothing is emitted that it does not list."""

import dataclasses
import importlib
import pkgutil
from collections.abc import Awaitable, Callable, Iterator
from typing import Any
from uuid import UUID

import pytest
from opentelemetry.trace import Tracer

import eventsource
from eventsource import (
    AggregateNotFoundError,
    AggregateRepository,
    DeclarativeProjection,
    DomainEvent,
    InMemoryEventStore,
    OptimisticLockError,
    ProjectionRunner,
)
from eventsource.component import Component
from eventsource.exceptions import BrokerConnectionError
from eventsource.testing.events import DOOR, Opened, opened
from eventsource_instrumentation.operations import COMPONENTS, TABLE, UNOBSERVED
from eventsource_instrumentation.recording import Recording
from eventsource_instrumentation.rows import Row


def operation_types() -> Iterator[type]:
    """Yield what is defined in the modules called ``operations``."""
    for found in pkgutil.walk_packages(eventsource.__path__, "eventsource."):
        if found.name.endswith(".operations"):
            module = importlib.import_module(found.name)
            own = (each for each in vars(module).values() if isinstance(each, type))
            yield from (each for each in own if each.__module__ == found.name)


OPERATIONS = list(operation_types())
ROWS = list(TABLE.values())


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: f"{each.__module__}.{each.__name__}")
def test_every_operation_is_observed_or_known_not_to_be(operation: type) -> None:
    """Whoever adds an operation decides what it emits."""
    assert (operation in TABLE) + (operation in UNOBSERVED) == 1


def test_the_table_has_no_other_rows() -> None:
    """An operation that is gone takes its row with it."""
    assert TABLE.keys() | UNOBSERVED == set(OPERATIONS)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.operation.__name__)
def test_a_row_belongs_to_a_component_that_can_be_left_out(row: Row) -> None:
    """Its owner is a port with a door."""
    assert row.owner in COMPONENTS.values()
    assert issubclass(row.owner, Component)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.operation.__name__)
def test_a_row_with_headers_is_of_an_operation_with_headers(row: Row) -> None:
    """They are where context is found."""
    assert (row.headers is not None) == hasattr(row.operation, "headers")


@pytest.mark.parametrize(
    "row", [row for row in ROWS if row.headers not in (None, "onward")], ids=lambda row: row.operation.__name__
)
def test_a_row_with_new_headers_is_of_an_operation_that_takes_them(row: Row) -> None:
    """Context goes into the operation's own field."""
    fields = {field.name for field in dataclasses.fields(row.operation)}

    assert "headers" in fields
    assert hasattr(row.operation, "with_headers")


async def test_every_recorded_attribute_is_listed(
    eventsource_telemetry: Recording,
    tour: Callable[[Tracer], Awaitable[None]],
    store: InMemoryEventStore,
    doors: AggregateRepository[Any],
    openings: Callable[..., DeclarativeProjection],
    runner_of: Callable[..., ProjectionRunner],
    until: Callable[..., Awaitable[None]],
    local: Any,
    door: UUID,
) -> None:
    """Spans and metrics carry what the table says and nothing else, and every metric of it has a value."""
    await tour(eventsource_telemetry.spans.provider.get_tracer("here"))
    with pytest.raises(OptimisticLockError):
        await store.append_events(door, DOOR, opened(door, 1), 3)
    with pytest.raises(AggregateNotFoundError):
        await doors.load(door)
    await _handle_and_fail_to(local, door)
    local.lag = {0: 1}
    async with runner_of(openings()) as runner:
        await until(lambda: runner.lag)
        points = eventsource_telemetry.metrics.points

    metrics: dict[str, set[str]] = {}
    for row in TABLE.values():
        for measurement in row.measurements:
            metrics.setdefault(measurement.metric.name, set()).update(measurement.attribute_names)
        metrics |= {gauge.metric.name: set(gauge.attribute_names) for gauge in row.gauges}
    assert {point.name for point in points} == metrics.keys()
    assert not [each for each in points if each.attributes.keys() - metrics[each.name]]
    spans: dict[str, set[str]] = {"batch": set()}
    for row in TABLE.values():
        for name in row.spans:
            spans.setdefault(name, {"error.type"}).update(row.at_start, row.at_end)
    assert not [
        each for each in eventsource_telemetry.spans.finished if (each.attributes or {}).keys() - spans[each.name]
    ]


async def _handle_and_fail_to(bus: Any, door: UUID) -> None:
    def fail(event: DomainEvent) -> None:
        raise ValueError("jammed")

    bus.subscribe(Opened, lambda event: None)
    bus.subscribe(Opened, fail)
    await bus.publish(opened(door, 1))
    await bus.has_settled(1)
    bus.is_broken = True
    with pytest.raises(BrokerConnectionError):
        await bus.publish(opened(door, 1))
    bus.is_broken = False
