"""Events to JSON text and back."""

import json
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from typing import Any, Literal
from uuid import UUID, uuid4

import pydantic_core
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, computed_field

from eventsource.events.base import DomainEvent
from eventsource.events.registry import EventRegistry, EventTypeNotFoundError, default_registry
from eventsource.exceptions import SerializationError
from eventsource.serialization import EventSerializer

SECRET = "4111-1111-1111-1111"


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Size(BaseModel):
    width: int
    height: int


class Made(DomainEvent):
    aggregate_type: str = "Thing"
    external_id: str = ""
    noted_at: str = ""
    price: Decimal = Decimal(0)
    blob: bytes = b""
    day: datetime = datetime(2024, 1, 1, tzinfo=UTC)
    sizes: list[Size] = Field(default_factory=list, alias="theSizes")
    colour: Colour = Colour.RED
    rate: float = 0.0
    count: int = 0

    @computed_field
    @property
    def label(self) -> str:
        return f"{self.colour.value} thing"


class Moved(DomainEvent):
    event_type: Literal["Moved"] = "Moved"
    aggregate_type: str = "Thing"
    event_version: int = 3
    place: str
    country: str


def add_country(data: dict[str, Any]) -> dict[str, Any]:
    return {**data, "country": "DE"}


def rename_place(data: dict[str, Any]) -> dict[str, Any]:
    place = data.pop("location")
    return {**data, "place": place}


@pytest.fixture
def registry() -> EventRegistry:
    registry = EventRegistry()
    registry.register(Made)
    registry.register(Moved, aliases=["Relocated"], upcast={1: add_country, 2: rename_place})
    return registry


@pytest.fixture
def serializer(registry: EventRegistry) -> EventSerializer:
    return EventSerializer(registry)


def payload(**values: Any) -> str:
    return pydantic_core.to_json({"event_type": "Moved", "aggregate_id": uuid4(), **values}).decode()


def moments() -> st.SearchStrategy[datetime]:
    offsets = st.integers(-23 * 60, 23 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
    return st.datetimes(datetime(1600, 1, 1), datetime(9000, 1, 1), timezones=st.none() | offsets)  # noqa: DTZ001


def texts() -> st.SearchStrategy[str]:
    return st.text(st.characters(exclude_categories=["Cs"]))


def events() -> st.SearchStrategy[Made]:
    json_values = st.recursive(
        st.none() | st.booleans() | st.integers(-(2**63), 2**63) | texts(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts(), inner, max_size=3),
        max_leaves=8,
    )
    return st.builds(
        Made,
        aggregate_id=st.uuids(),
        tenant_id=st.none() | st.uuids(),
        actor_id=st.none() | texts(),
        occurred_at=moments(),
        metadata=st.dictionaries(texts(), json_values, max_size=3),
        external_id=texts() | st.uuids().map(str),
        noted_at=texts() | moments().map(datetime.isoformat),
        price=st.decimals(allow_nan=False, allow_infinity=False),
        blob=st.binary(),
        day=moments(),
        theSizes=st.lists(st.builds(Size, width=st.integers(-5, 5), height=st.integers(-5, 5)), max_size=2),
        colour=st.sampled_from(Colour),
        rate=st.floats(allow_nan=False),
        count=st.integers(),
    )


class TestRoundTrip:
    @given(events())
    def test_an_event_comes_back_as_it_was(self, event: Made) -> None:
        """Strings that look like ids or times stay strings; decimals, bytes and times stay what they are."""
        registry = EventRegistry()
        registry.register(Made)
        serializer = EventSerializer(registry)

        assert serializer.decode("Made", 1, serializer.encode(event)) == event

    def test_bytes_are_read_like_text(self, serializer: EventSerializer) -> None:
        """Databases hand out either."""
        event = Made(aggregate_id=uuid4(), external_id="ü")

        assert serializer.decode("Made", 1, serializer.encode(event).encode()) == event

    def test_what_is_computed_is_not_written(self, serializer: EventSerializer) -> None:
        """It can be computed again."""
        text = serializer.encode(Made(aggregate_id=uuid4()))

        assert "label" not in pydantic_core.from_json(text)

    def test_infinity_is_written_as_valid_json(self, serializer: EventSerializer) -> None:
        """Databases that look into their JSON refuse bare constants."""
        text = serializer.encode(Made(aggregate_id=uuid4(), rate=float("-inf")))

        assert json.loads(text, parse_constant=pytest.fail)["rate"] == "-Infinity"

    def test_without_a_registry_it_is_the_default_one(self) -> None:
        """Most applications have only that."""
        assert EventSerializer().registry is default_registry

    def test_an_empty_registry_is_used_too(self) -> None:
        """It is not mistaken for none."""
        registry = EventRegistry()

        assert EventSerializer(registry).registry is registry


class TestOldVersions:
    def test_each_old_version_is_read_as_todays(self, serializer: EventSerializer) -> None:
        """A version 1 takes all steps, a version 2 the last one."""
        first = serializer.decode("Moved", 1, payload(event_version=1, location="Ulm"))
        second = serializer.decode("Moved", 2, payload(event_version=2, location="Bern", country="CH"))

        assert isinstance(first, Moved)
        assert isinstance(second, Moved)
        assert (first.place, first.country, first.event_version) == ("Ulm", "DE", 3)
        assert (second.place, second.country, second.event_version) == ("Bern", "CH", 3)

    def test_a_renamed_type_is_read_under_its_new_name(self, serializer: EventSerializer) -> None:
        """The literal of the class accepts it, because the event carries the new name."""
        text = payload(event_type="Relocated", event_version=3, place="Ulm", country="DE")

        assert serializer.decode("Relocated", 3, text).event_type == "Moved"

    def test_a_renamed_type_of_an_old_version_takes_both_ways(self, serializer: EventSerializer) -> None:
        """Renaming and upcasting go together."""
        text = payload(event_type="Relocated", event_version=1, location="Ulm")

        event = serializer.decode("Relocated", 1, text)

        assert (event.event_type, event.event_version) == ("Moved", 3)

    @pytest.mark.parametrize("version", [1, 4, 7])
    def test_a_version_that_is_neither_known_nor_reached_is_refused(
        self, registry: EventRegistry, version: int
    ) -> None:
        """Older than the oldest upcaster or newer than the class: the error says which versions there are."""

        class Priced(DomainEvent):
            aggregate_type: str = "Thing"
            event_version: int = 3

        registry.register(Priced, upcast={2: lambda data: data})

        with pytest.raises(SerializationError, match=f"of version {version}, but only versions 2 to 3 are known"):
            EventSerializer(registry).decode("Priced", version, payload(event_type="Priced", event_version=version))

    @pytest.mark.parametrize("version", [1, 3, 7])
    def test_without_upcasters_every_version_is_read_as_it_is(self, registry: EventRegistry, version: int) -> None:
        """Then the number is the application's own."""
        event = Made(aggregate_id=uuid4(), event_version=version)
        serializer = EventSerializer(registry)

        assert serializer.decode("Made", version, serializer.encode(event)) == event

    def test_an_upcaster_that_raises_is_named(self, serializer: EventSerializer) -> None:
        """The error tells that the event's upcaster is to blame, and keeps what it raised."""
        with pytest.raises(SerializationError, match="it cannot be upcast: KeyError: 'location'") as caught:
            serializer.decode("Moved", 1, payload(event_version=1))

        assert isinstance(caught.value.__cause__, KeyError)

    def test_an_upcaster_that_returns_nothing_is_named(self, registry: EventRegistry) -> None:
        """A forgotten return is found out."""

        class Grown(DomainEvent):
            aggregate_type: str = "Tree"
            event_version: int = 2

        registry.register(Grown, upcast={1: lambda data: data.clear()})  # type: ignore[dict-item, return-value]

        with pytest.raises(SerializationError, match="it cannot be upcast: TypeError"):
            EventSerializer(registry).decode("Grown", 1, payload(event_type="Grown"))

    def test_an_upcaster_may_return_python_values(self, registry: EventRegistry) -> None:
        """Decimals and ids are written as JSON again before validation."""

        class Priced(DomainEvent):
            aggregate_type: str = "Thing"
            event_version: int = 2
            price: Decimal
            owner: UUID

        owner = uuid4()
        registry.register(Priced, upcast={1: lambda data: {**data, "price": Decimal("0.10"), "owner": owner}})

        event = EventSerializer(registry).decode("Priced", 1, payload(event_type="Priced"))

        assert isinstance(event, Priced)
        assert (str(event.price), event.owner) == ("0.10", owner)


class TestBadPayloads:
    @pytest.mark.parametrize("version", [1, 3])
    @pytest.mark.parametrize("text", ["", "{", "[1, 2]", "null", '"text"', b"\xff\xfe"])
    def test_what_is_no_json_object_is_a_serialization_error(
        self, serializer: EventSerializer, text: str | bytes, version: int
    ) -> None:
        """Corrupt data is reported the same way whether it has to be upcast or not."""
        with pytest.raises(SerializationError, match="Serialization error for Moved: payload: "):
            serializer.decode("Moved", version, text)

    def test_an_unknown_type_is_told_as_such(self, serializer: EventSerializer) -> None:
        """A class that was not imported is no corrupt payload."""
        with pytest.raises(EventTypeNotFoundError):
            serializer.decode("Vanished", 1, payload())

    def test_every_field_that_is_wrong_is_named(self, serializer: EventSerializer) -> None:
        """The message says which and why."""
        with pytest.raises(SerializationError, match=r"count: .*; sizes\.0\.width: |sizes\.0\.width: .*; count: "):
            serializer.decode("Made", 1, payload(event_type="Made", count="many", sizes=[{"height": 1}]))

    def test_the_message_does_not_show_what_was_stored(self, serializer: EventSerializer) -> None:
        """Payloads hold personal data, and messages end up in logs."""
        with pytest.raises(SerializationError) as caught:
            serializer.decode("Made", 1, payload(event_type="Made", count=SECRET, colour=SECRET, sizes=SECRET))

        assert SECRET not in str(caught.value)

    def test_the_error_names_the_type(self, serializer: EventSerializer) -> None:
        """Its attributes are there for machines."""
        with pytest.raises(SerializationError) as caught:
            serializer.decode("Made", 1, "{}")

        assert caught.value.event_type == "Made"
        assert caught.value.message.startswith("aggregate_id: ")


class TestUnwritableValues:
    @pytest.mark.parametrize("value", [object(), "\ud800", b"\xff".decode("utf-8", "surrogateescape")])
    def test_a_value_without_a_json_form_is_a_serialization_error(
        self, serializer: EventSerializer, value: object
    ) -> None:
        """The error names the event."""
        event = Made(aggregate_id=uuid4(), metadata={"value": value})

        with pytest.raises(SerializationError, match=f"for Made: event {event.event_id}: "):
            serializer.encode(event)

    def test_metadata_that_contains_itself_is_a_serialization_error(self, serializer: EventSerializer) -> None:
        """There is no end to writing it."""
        metadata: dict[str, Any] = {}
        event = Made(aggregate_id=uuid4()).model_copy(update={"metadata": metadata})
        metadata["self"] = metadata

        with pytest.raises(SerializationError, match="Circular reference"):
            serializer.encode(event)
