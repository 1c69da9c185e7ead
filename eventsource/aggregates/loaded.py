"""What loading an aggregate finds."""

from dataclasses import dataclass
from typing import Generic, Literal, TypeAlias, TypeVar

Aggregate = TypeVar("Aggregate")

SnapshotOutcome: TypeAlias = Literal["hit", "miss", "stale", "error"]


@dataclass(slots=True)
class Loaded(Generic[Aggregate]):
    """An aggregate, what became of its snapshot (None without a snapshot store), and how many events were replayed."""

    aggregate: Aggregate
    snapshot_outcome: SnapshotOutcome | None
    replayed: int
