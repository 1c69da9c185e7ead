"""A state that was restored from a snapshot is the state that was saved, and nobody else's."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID, uuid4

import pytest
from pydantic import BaseModel, ConfigDict, Field, computed_field

from eventsource.aggregates import AggregateRepository, AggregateRoot
from eventsource.events.base import DomainEvent
from eventsource.snapshots.in_memory import InMemorySnapshotStore
from eventsource.stores.in_memory import InMemoryEventStore

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)


class Wrapped(DomainEvent):
    aggregate_type: str = "Parcel"
    fields: dict[str, Any]


class Weight(Enum):
    LIGHT = "light"
    HEAVY = "heavy"


class Label(BaseModel):
    street: str = Field(alias="streetName")


class AliasedState(BaseModel):
    sender: str = Field("", alias="theSender")
    receiver: str = Field("", validation_alias="to", serialization_alias="toWhom")
    label: Label | None = Field(None, alias="theLabel")


class StrictState(BaseModel):
    model_config = ConfigDict(strict=True)

    owner: UUID | None = None
    weight: Weight = Weight.LIGHT
    price: Decimal = Decimal(0)
    sent_at: datetime | None = None
    takes: timedelta | None = None
    stops: tuple[str, ...] = ()
    tags: frozenset[str] = frozenset()


class LooseState(BaseModel):
    content: Any = None
    notes: dict[str, Any] = Field(default_factory=dict)


class ComputedState(BaseModel):
    model_config = ConfigDict(extra="forbid")

    width: int = 0

    @computed_field
    @property
    def area(self) -> int:
        return self.width**2


class Parcel(AggregateRoot[BaseModel]):
    aggregate_type = "Parcel"
    state_type: type[BaseModel]

    def wrap(self, **fields: Any) -> None:
        version = self.get_next_version()
        self.apply_event(Wrapped(aggregate_id=self.aggregate_id, aggregate_version=version, fields=fields))

    def _apply(self, event: DomainEvent) -> None:
        assert isinstance(event, Wrapped)
        self._state = self.state_type.model_validate(event.fields, by_alias=True, by_name=True)

    def _get_initial_state(self) -> BaseModel:
        return self.state_type()

    def _get_state_type(self) -> type[BaseModel]:
        return self.state_type


STATES: dict[str, tuple[type[BaseModel], dict[str, Any]]] = {
    "aliased": (AliasedState, {"theSender": "Ada", "to": "Bob", "theLabel": {"streetName": "High Street"}}),
    "strict": (
        StrictState,
        {
            "owner": uuid4(),
            "weight": Weight.HEAVY,
            "price": Decimal("12.30"),
            "sent_at": NOON,
            "takes": timedelta(days=2),
            "stops": ("Ulm", "Bern"),
            "tags": frozenset({"fragile"}),
        },
    ),
    "loose": (LooseState, {"content": [1, {"a": [None, 2.5]}], "notes": {"deep": {"er": ["x"]}}}),
    "computed": (ComputedState, {"width": 3}),
}


@pytest.fixture
def snapshots() -> InMemorySnapshotStore:
    return InMemorySnapshotStore()


def repository_of(snapshots: InMemorySnapshotStore, state: type[BaseModel]) -> AggregateRepository[Parcel]:
    factory = type("ParcelOfState", (Parcel,), {"state_type": state})
    return AggregateRepository(InMemoryEventStore(), factory, "Parcel", snapshot_store=snapshots, snapshot_threshold=1)


async def saved(repository: AggregateRepository[Parcel], fields: dict[str, Any]) -> Parcel:
    parcel = repository.create_new(uuid4())
    parcel.wrap(**fields)
    await repository.save(parcel)
    return parcel


@pytest.mark.parametrize(("state", "fields"), STATES.values(), ids=STATES)
async def test_a_restored_state_is_the_state_that_was_saved(
    snapshots: InMemorySnapshotStore, state: type[BaseModel], fields: dict[str, Any]
) -> None:
    """Whatever its model demands of those who fill it, and without a look at the events."""
    repository = repository_of(snapshots, state)
    parcel = await saved(repository, fields)

    loaded = await repository.load(parcel.aggregate_id)

    assert loaded.snapshot_version == 1
    assert loaded.state == parcel.state
    assert loaded.state is not parcel.state


async def test_a_restored_state_shares_nothing_with_the_snapshot(snapshots: InMemorySnapshotStore) -> None:
    """Changing it in place changes neither the snapshot nor the next one that is loaded."""
    repository = repository_of(snapshots, LooseState)
    parcel = await saved(repository, {"content": {"lines": ["a"]}, "notes": {"by": ["me"]}})
    first = await repository.load(parcel.aggregate_id)
    assert isinstance(first.state, LooseState)

    first.state.content["lines"].append("b")
    first.state.notes["by"].append("you")

    second = await repository.load(parcel.aggregate_id)
    assert second.state == LooseState(content={"lines": ["a"]}, notes={"by": ["me"]})


async def test_a_snapshot_shares_nothing_with_the_state_that_it_was_taken_of(snapshots: InMemorySnapshotStore) -> None:
    """An aggregate may go on changing its state in place."""
    repository = repository_of(snapshots, LooseState)
    parcel = await saved(repository, {"content": {"lines": ["a"]}, "notes": {"by": ["me"]}})
    assert isinstance(parcel.state, LooseState)

    parcel.state.content["lines"].append("b")
    parcel.state.notes["by"].append("you")

    loaded = await repository.load(parcel.aggregate_id)
    assert loaded.state == LooseState(content={"lines": ["a"]}, notes={"by": ["me"]})


class Raw(AggregateRoot[BaseModel]):
    """Serializes its state in a way of its own, which is not JSON."""

    def _apply(self, event: DomainEvent) -> None:
        self._state = RawState(raw=b"\xff")

    def _get_initial_state(self) -> BaseModel:
        return RawState()

    def _get_state_type(self) -> type[BaseModel]:
        return RawState

    def _serialize_state(self) -> dict[str, Any]:
        return {"raw": b"\xff"}


class RawState(BaseModel):
    raw: bytes = b""


def test_a_state_of_python_values_is_restored_as_it_is() -> None:
    """Who overrides how a state is serialized may use what the snapshot store can keep."""
    aggregate = Raw(uuid4())

    aggregate._restore_from_snapshot({"raw": b"\xff"}, 1)

    assert aggregate.state == RawState(raw=b"\xff")
