"""One operation while it is observed."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

from opentelemetry.util.types import AttributeValue


class Observation:
    """What is known about an operation: who does it, what it is, and in the end its result or error."""

    __slots__ = ("component", "duration", "error", "operation", "result")

    def __init__(self, component: Any, operation: Any) -> None:
        self.component = component
        self.operation = operation
        self.result: Any = None
        self.error: BaseException | None = None
        self.duration = 0.0


Getter: TypeAlias = Callable[[Observation], AttributeValue | None]
"""Finds the value of one attribute; None leaves it out."""


def evaluate(getters: Mapping[str, Getter], observation: Observation) -> dict[str, AttributeValue]:
    """Return the attributes that have a value."""
    values = {name: getter(observation) for name, getter in getters.items()}
    return {name: value for name, value in values.items() if value is not None}


class LazyAttributes(Mapping[str, AttributeValue]):
    """Attributes that cost nothing until somebody, a sampler or a recording span, looks at them."""

    __slots__ = ("_getters", "_observation", "_values")

    def __init__(self, getters: Mapping[str, Getter], observation: Observation) -> None:
        self._getters = getters
        self._observation = observation
        self._values: dict[str, AttributeValue] | None = None

    def __getitem__(self, name: str) -> AttributeValue:
        return self._evaluated()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._evaluated())

    def __len__(self) -> int:
        return len(self._evaluated())

    def copy(self) -> dict[str, AttributeValue]:
        """Return the attributes as a dictionary of the caller's own; SDKs before 1.43 ask for it."""
        return dict(self._evaluated())

    def _evaluated(self) -> dict[str, AttributeValue]:
        if self._values is None:
            self._values = evaluate(self._getters, self._observation)
        return self._values
