"""What a row of the table says: the span of an operation, its attributes, and what is measured."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, TypeAlias, cast

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
    kind: Literal["histogram", "counter", "observable gauge", "observable counter"]
    unit: str
    description: str
    boundaries: tuple[float, ...] | None = None


@dataclass(frozen=True, slots=True)
class Measurement:
    """
    What one operation adds to a metric.

    ``amount`` is None where there is nothing to measure. With ``split``, an attribute and a function, there is one
    amount for each value of the attribute. With ``each``, every observation that it finds in the one of the operation
    is measured instead. With ``system``, only components of that system are measured.
    """

    metric: Metric
    amount: Callable[[Observation], float | None]
    attributes: Mapping[str, Getter]
    split: tuple[str, Callable[[Observation], Mapping[str, int]]] | None = None
    each: Callable[[Observation], Iterable[Observation]] | None = None
    system: str | None = None

    @property
    def attribute_names(self) -> tuple[str, ...]:
        """The names of all attributes."""
        return (*self.attributes, self.split[0]) if self.split else tuple(self.attributes)


@dataclass(frozen=True, slots=True)
class Gauge:
    """
    What is read from a component each time that metrics are collected; None where there is nothing to report.

    With ``by``, an attribute, there is one value for each of this attribute's. With ``system``, only components of that
    system report.
    """

    metric: Metric
    reading: Callable[[Any], float | Mapping[str, float] | None]
    attributes: Mapping[str, Callable[[Any], AttributeValue | None]]
    by: str | None = None
    system: str | None = None

    @property
    def attribute_names(self) -> tuple[str, ...]:
        """The names of all attributes."""
        return (*self.attributes, self.by) if self.by else tuple(self.attributes)

    def series(self, component: Any) -> Iterator[tuple[float, dict[str, AttributeValue]]]:
        """Yield each value that *component* has, and its attributes."""
        found = self.reading(component)
        if found is None:
            return
        values = {name: get(component) for name, get in self.attributes.items()}
        attributes: dict[str, AttributeValue] = {name: value for name, value in values.items() if value is not None}
        if self.by is None or not isinstance(found, Mapping):
            yield cast(float, found), attributes
            return
        for value, reading in found.items():
            yield reading, {**attributes, self.by: value}


@dataclass(frozen=True, slots=True)
class Row:
    """
    One operation.

    ``spans`` are the names that its span may have, ``name`` chooses one; without any it has no span. ``inner`` spans
    are made only inside a recording one. A ``root`` span has no parent, but ``links`` to the contexts in several
    headers. ``sent_at`` is when the message was written whose headers an operation has, None if that is not known;
    ``comes_again`` is of an operation with a message that a broker has delivered, and tells whether it was delivered
    before. ``gauges`` report on the operation's component from then on.
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
    sent_at: Callable[[Any], datetime | None] | None = None
    comes_again: Callable[[Any], bool] | None = None
    gauges: tuple[Gauge, ...] = ()
    name_index: Callable[[Any], int] | None = None

    def name(self, operation: object) -> str:
        """Return the name of the span of *operation*."""
        return self.spans[self.name_index(operation) if self.name_index else 0]
