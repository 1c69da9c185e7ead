"""The snapshot."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The state of an aggregate at one version, as JSON values."""

    aggregate_id: UUID
    aggregate_type: str
    version: int
    state: dict[str, Any]
    schema_version: int
    created_at: datetime

    def __repr__(self) -> str:
        return (
            f"Snapshot(aggregate_id={self.aggregate_id}, aggregate_type={self.aggregate_type!r}, "
            f"version={self.version}, schema_version={self.schema_version}, "
            f"created_at={self.created_at.isoformat()}, state_keys={list(self.state)})"
        )
