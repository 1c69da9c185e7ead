"""Aggregates and the repositories that load and save them."""

from eventsource.aggregates.base import AggregateRoot, DeclarativeAggregate, TAggregate
from eventsource.aggregates.repository import AggregateRepository
from eventsource.types import TState

__all__ = ["AggregateRepository", "AggregateRoot", "DeclarativeAggregate", "TAggregate", "TState"]
