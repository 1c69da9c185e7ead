"""The operations that pass a repository's door, and what loading finds."""

from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeAlias, TypeVar
from uuid import UUID

from eventsource.types import Headers

Aggregate = TypeVar("Aggregate")

SnapshotOutcome: TypeAlias = Literal["hit", "miss", "stale", "error"]


@dataclass(slots=True)
class Load:
    """Load an aggregate; a new one if there is none and ``create`` says so."""

    aggregate_id: UUID
    create: bool = False


@dataclass(slots=True)
class Loaded(Generic[Aggregate]):
    """An aggregate, what became of its snapshot (None without a snapshot store), and how many events were replayed."""

    aggregate: Aggregate
    snapshot_outcome: SnapshotOutcome | None
    replayed: int


@dataclass(slots=True)
class Save:
    """Save the uncommitted events of an aggregate, at least one."""

    aggregate: Any
    headers: Headers | None


@dataclass(slots=True)
class Exists:
    """Ask whether an aggregate has events."""

    aggregate_id: UUID


@dataclass(slots=True)
class CreateSnapshot:
    """Take a snapshot of an aggregate."""

    aggregate: Any
