"""What a row of the table says: the span of an operation, its attributes, and what is measured."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, TypeAlias

from opentelemetry.trace import SpanKind
from opentelemetry.util.types import AttributeValue

from eventsource.component import Component
from eventsource.types import Headers
from eventsource_instrumentation.observation import Getter, Observation

Carried: TypeAlias = Literal["onward", "stored", "message"]
"""
What becomes of an operation's headers: handed onward as they are, or given the context of its span, in the form
that is stored beside events or in that of messages.
"""


@dataclass(frozen=True, slots=True)
class Metric:
    """An instrument."""

    name: str
    kind: Literal["histogram", "counter", "observable gauge"]
    unit: str
    description: str
    boundaries: tuple[float, ...] | None = None


@dataclass(frozen=True, slots=True)
class Measurement:
    """
    What one operation adds to a metric.

    ``amount`` is None where there is nothing to measure. With ``split``, an attribute and a function, there is one
    amount for each value of the attribute. With ``each``, every observation that it finds in the one of the operation
    is measured instead.
    """

    metric: Metric
    amount: Callable[[Observation], float | None]
    attributes: Mapping[str, Getter]
    split: tuple[str, Callable[[Observation], Mapping[str, int]]] | None = None
    each: Callable[[Observation], Iterable[Observation]] | None = None

    @property
    def attribute_names(self) -> tuple[str, ...]:
        """The names of all attributes."""
        return (*self.attributes, self.split[0]) if self.split else tuple(self.attributes)


@dataclass(frozen=True, slots=True)
class Gauge:
    """What is read from a component each time that metrics are collected; None where there is nothing to report."""

    metric: Metric
    reading: Callable[[Any], float | None]
    attributes: Mapping[str, Callable[[Any], AttributeValue]]


@dataclass(frozen=True, slots=True)
class Row:
    """
    One operation.

    ``spans`` are the names that its span may have, ``name`` chooses one; without any it has no span. ``inner`` spans
    are made only inside a recording one. A ``root`` span has no parent, but ``links`` to the contexts in several
    headers. ``sent_at`` is when the message was written whose headers an operation has. ``gauges`` report on the
    operation's component from then on.
    """

    operation: type
    owner: type[Component]
    spans: tuple[str, ...]
    kind: SpanKind
    at_start: Mapping[str, Getter]
    at_end: Mapping[str, Getter] = field(default_factory=dict)
    measurements: tuple[Measurement, ...] = ()
    headers: Carried | None = None
    inner: bool = False
    root: bool = False
    links: Callable[[Any], Iterable[Headers]] | None = None
    sent_at: Callable[[Any], datetime] | None = None
    gauges: tuple[Gauge, ...] = ()
    name_index: Callable[[Any], int] | None = None

    def name(self, operation: object) -> str:
        """Return the name of the span of *operation*."""
        return self.spans[self.name_index(operation) if self.name_index else 0]
