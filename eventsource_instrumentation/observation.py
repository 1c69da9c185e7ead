"""One operation while it is observed."""

from collections.abc import Callable, ItemsView, Iterator, Mapping
from typing import Any, TypeAlias, TypeVar

from opentelemetry.util.types import AttributeValue

Found = TypeVar("Found")


class Observation:
    """What is known about an operation: who does it, what it is, and in the end its result or error."""

    __slots__ = ("_found", "component", "duration", "error", "operation", "result")

    def __init__(self, component: Any, operation: Any) -> None:
        self.component = component
        self.operation = operation
        self.result: Any = None
        self.error: BaseException | None = None
        self.duration = 0.0
        self._found: dict[Callable[..., Any], Any] = {}

    def once(self, find: "Callable[[Observation], Found]") -> Found:
        """Return what *find* finds here; it looks only the first time."""
        if find not in self._found:
            self._found[find] = find(self)
        found: Found = self._found[find]
        return found


Getter: TypeAlias = Callable[[Observation], AttributeValue | None]
"""Finds the value of one attribute; None leaves it out."""


def evaluate(getters: Mapping[str, Getter], observation: Observation) -> dict[str, AttributeValue]:
    """Return the attributes that have a value."""
    values: dict[str, AttributeValue] = {}
    for name, getter in getters.items():
        value = getter(observation)
        if value is not None:
            values[name] = value
    return values


class LazyAttributes(Mapping[str, AttributeValue]):
    """Attributes that cost nothing until somebody, a sampler or a recording span, looks at them."""

    __slots__ = ("_getters", "_observation", "_values")

    def __init__(self, getters: Mapping[str, Getter], observation: Observation) -> None:
        self._getters = getters
        self._observation: Observation | None = observation
        self._values: dict[str, AttributeValue] = {}

    def __getitem__(self, name: str) -> AttributeValue:
        return self._evaluated()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._evaluated())

    def __len__(self) -> int:
        return len(self._evaluated())

    def items(self) -> ItemsView[str, AttributeValue]:
        """Return names and values together, as SDKs look at them."""
        return self._evaluated().items()

    def copy(self) -> dict[str, AttributeValue]:
        """Return the attributes as a dictionary of the caller's own; SDKs before 1.43 ask for it."""
        return dict(self._evaluated())

    def _evaluated(self) -> dict[str, AttributeValue]:
        if self._observation is not None:
            self._values = evaluate(self._getters, self._observation)
            self._observation = None  # an SDK may keep the attributes for as long as it lives
        return self._values
