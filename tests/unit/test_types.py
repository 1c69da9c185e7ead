"""The names of the values that travel everywhere."""

from uuid import UUID

from pydantic import BaseModel

from eventsource import types


def test_ids_are_uuids() -> None:
    """The aliases say which id is meant, not another type."""
    assert (types.AggregateId, types.EventId, types.CorrelationId) == (UUID, UUID, UUID)


def test_tenant_and_cause_may_be_missing() -> None:
    """Not every event has them."""
    assert (types.TenantId, types.CausationId) == (UUID | None, UUID | None)


def test_versions_and_positions_are_integers() -> None:
    """They count."""
    assert (types.Version, types.StreamPosition, types.GlobalPosition) == (int, int, int)


def test_a_state_is_a_pydantic_model() -> None:
    """Snapshots rely on it."""
    assert types.TState.__bound__ is BaseModel
