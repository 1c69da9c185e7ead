"""Names for the values that travel everywhere."""

from collections.abc import Mapping
from typing import TypeAlias, TypeVar
from uuid import UUID

from pydantic import BaseModel

TState = TypeVar("TState", bound=BaseModel)

AggregateId: TypeAlias = UUID
EventId: TypeAlias = UUID
CorrelationId: TypeAlias = UUID
CausationId: TypeAlias = UUID | None
TenantId: TypeAlias = UUID | None

Version: TypeAlias = int
StreamPosition: TypeAlias = int
GlobalPosition: TypeAlias = int

Headers: TypeAlias = Mapping[str, str]
