"""The event: an immutable fact about one aggregate."""

from datetime import UTC, datetime
from typing import Any, Literal, Self, get_origin
from uuid import UUID, uuid4

import pydantic_core
from pydantic import BaseModel, ConfigDict, Field

from eventsource.events.identity import time_ordered_id


def _now() -> datetime:
    return datetime.now(UTC)


class DomainEvent(BaseModel):
    """
    Something that happened to an aggregate; subclasses add what is to be known about it.

    ``event_type`` defaults to the name of the class; ``aggregate_type`` is given by each subclass.
    ``metadata`` holds JSON values. Bytes are written to JSON as base64, infinities as strings (JSON has neither).
    """

    model_config = ConfigDict(frozen=True, ser_json_bytes="base64", val_json_bytes="base64", ser_json_inf_nan="strings")

    event_id: UUID = Field(default_factory=time_ordered_id)
    event_type: str = "DomainEvent"
    event_version: int = Field(default=1, ge=1)
    occurred_at: datetime = Field(default_factory=_now)
    aggregate_id: UUID
    aggregate_type: str
    aggregate_version: int = Field(default=1, ge=1)
    tenant_id: UUID | None = None
    actor_id: str | None = None
    correlation_id: UUID = Field(default_factory=uuid4)
    causation_id: UUID | None = None
    metadata: dict[str, Any] = Field(default_factory=dict)

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        # A literal that is inherited accepts no other name.
        if "event_type" not in cls.__annotations__ and get_origin(cls.model_fields["event_type"].annotation) != Literal:
            cls.model_fields["event_type"].default = cls.__name__
            cls.model_rebuild(force=True, raise_errors=False)

    def with_causation(self, causing: "DomainEvent") -> Self:
        """Return a copy that was caused by *causing* and belongs to the same conversation."""
        return self.model_copy(update={"causation_id": causing.event_id, "correlation_id": causing.correlation_id})

    def with_metadata(self, **metadata: Any) -> Self:
        """Return a copy with *metadata* merged over its own."""
        return self.model_copy(update={"metadata": {**self.metadata, **metadata}})

    def with_aggregate_version(self, version: int) -> Self:
        """Return a copy that carries *version*."""
        return self.model_copy(update={"aggregate_version": version})

    def to_dict(self) -> dict[str, Any]:
        """Return the event as JSON values."""
        return self.model_dump(mode="json")

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """
        Return the event that *data*, as `to_dict` gave it, describes.

        Raises:
            pydantic.ValidationError: If *data* does not describe an event of this class.
        """
        return cls.model_validate_json(pydantic_core.to_json(data), by_alias=True, by_name=True)

    def is_caused_by(self, event: "DomainEvent") -> bool:
        """Tell whether *event* is the direct cause."""
        return self.causation_id == event.event_id

    def is_correlated_with(self, event: "DomainEvent") -> bool:
        """Tell whether both belong to the same conversation."""
        return self.correlation_id == event.correlation_id

    def __str__(self) -> str:
        return (
            f"{self.event_type}(event_id={self.event_id}, aggregate_id={self.aggregate_id}, "
            f"version={self.aggregate_version})"
        )

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(event_id={self.event_id}, event_type={self.event_type!r}, "
            f"aggregate_id={self.aggregate_id}, aggregate_type={self.aggregate_type!r}, "
            f"version={self.aggregate_version}, tenant_id={self.tenant_id}, "
            f"occurred_at={self.occurred_at.isoformat()})"
        )
