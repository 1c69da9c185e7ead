"""The operations that pass a repository's door."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from eventsource.types import Headers


@dataclass(slots=True)
class Load:
    """Load an aggregate; a new one if there is none and ``create`` says so."""

    aggregate_id: UUID
    create: bool = False


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
