"""What a row of the table says: the span of an operation, its attributes, and what is measured."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from opentelemetry.trace import SpanKind

from eventsource.component import Component
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
    kind: Literal["histogram", "counter"]
    unit: str
    description: str
    boundaries: tuple[float, ...] | None = None


@dataclass(frozen=True, slots=True)
class Measurement:
    """
    What one operation adds to a metric.

    ``amount`` is None where there is nothing to measure. With ``split``, an attribute and a function, there is one
    amount for each value of the attribute.
    """

    metric: Metric
    amount: Callable[[Observation], float | None]
    attributes: Mapping[str, Getter]
    split: tuple[str, Callable[[Observation], Mapping[str, int]]] | None = None

    @property
    def attribute_names(self) -> tuple[str, ...]:
        """The names of all attributes."""
        return (*self.attributes, self.split[0]) if self.split else tuple(self.attributes)


@dataclass(frozen=True, slots=True)
class Row:
    """
    One operation.

    ``spans`` are the names that its span may have, ``name`` chooses one. ``inner`` spans are made only inside a
    recording one.
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
    name_index: Callable[[Any], int] | None = None

    def name(self, operation: object) -> str:
        """Return the name of the span of *operation*."""
        return self.spans[self.name_index(operation) if self.name_index else 0]
