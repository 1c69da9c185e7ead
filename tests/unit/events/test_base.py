"""What every event has, how it is copied, and how it becomes JSON values and an event again."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Literal
from uuid import UUID, uuid4

import pytest
from pydantic import ConfigDict, Field, ValidationError

from eventsource.events.base import DomainEvent


class Opened(DomainEvent):
    aggregate_type: str = "Account"
    owner: str = "Ada"


class OpenedOnline(Opened):
    pass


class Closed(DomainEvent):
    event_type: str = "account.closed"
    aggregate_type: str = "Account"


class ClosedByOwner(Closed):
    pass


class Frozen(DomainEvent):
    event_type: Literal["account.frozen"] = "account.frozen"
    aggregate_type: Literal["Account"] = "Account"


class FrozenByCourt(Frozen):
    court: str = "Berlin"


class Paid(DomainEvent):
    model_config = ConfigDict(populate_by_name=True)

    aggregate_type: str = "Account"
    amount: Decimal = Field(default=Decimal("10.10"), alias="amountPaid")
    receipt: bytes = b"\x00\xff"
    due: datetime = datetime(2024, 2, 29, 12, 30, tzinfo=UTC)
    rate: float = 0.0


class TestDefaults:
    def test_an_event_gets_an_id_of_its_own(self) -> None:
        """Two events are never the same by default."""
        aggregate_id = uuid4()

        first, second = Opened(aggregate_id=aggregate_id), Opened(aggregate_id=aggregate_id)

        assert first.event_id != second.event_id

    def test_a_fresh_event_begins_a_conversation_of_its_own(self) -> None:
        """The correlation id is never missing, the cause is."""
        event = Opened(aggregate_id=uuid4())

        assert (type(event.correlation_id), event.causation_id) == (UUID, None)

    def test_the_versions_begin_at_one(self) -> None:
        """Neither the schema nor the stream has a version 0."""
        event = Opened(aggregate_id=uuid4())

        assert (event.event_version, event.aggregate_version) == (1, 1)

    def test_nobody_and_nothing_is_attached_by_default(self) -> None:
        """Tenant, actor and metadata are optional."""
        event = Opened(aggregate_id=uuid4())

        assert (event.tenant_id, event.actor_id, event.metadata) == (None, None, {})

    def test_an_event_occurs_in_utc(self) -> None:
        """The time of an event needs no guess about its zone."""
        assert Opened(aggregate_id=uuid4()).occurred_at.tzinfo is UTC

    def test_metadata_is_not_shared_between_events(self) -> None:
        """Each event has a dictionary of its own."""
        assert Opened(aggregate_id=uuid4()).metadata is not Opened(aggregate_id=uuid4()).metadata


class TestValidation:
    def test_an_event_belongs_to_an_aggregate(self) -> None:
        """The id of the aggregate is required."""
        with pytest.raises(ValidationError, match="aggregate_id"):
            Opened()  # type: ignore[call-arg]

    def test_the_aggregate_type_is_required(self) -> None:
        """A subclass that says nothing leaves it to the caller."""

        class Homeless(DomainEvent):
            pass

        with pytest.raises(ValidationError, match="aggregate_type"):
            Homeless(aggregate_id=uuid4())  # type: ignore[call-arg]

    @pytest.mark.parametrize("field", ["event_version", "aggregate_version"])
    def test_versions_below_one_are_refused(self, field: str) -> None:
        """Versions count from 1."""
        with pytest.raises(ValidationError, match=field):
            Opened.model_validate({"aggregate_id": uuid4(), field: 0})

    def test_a_time_without_zone_is_accepted(self) -> None:
        """People have such times in their databases."""
        moment = datetime(2024, 1, 1)  # noqa: DTZ001 - the point of the test

        assert Opened(aggregate_id=uuid4(), occurred_at=moment).occurred_at == moment

    def test_unknown_input_is_ignored(self) -> None:
        """A field that a newer version wrote does no harm."""
        event = Opened.model_validate({"aggregate_id": uuid4(), "colour": "red"})

        assert not hasattr(event, "colour")

    def test_an_event_cannot_be_changed(self) -> None:
        """What happened stays as it happened."""
        event = Opened(aggregate_id=uuid4())

        with pytest.raises(ValidationError, match="frozen"):
            event.owner = "Grace"


class TestEventType:
    @pytest.mark.parametrize("event_class", [Opened, OpenedOnline, ClosedByOwner])
    def test_it_is_the_name_of_the_class_that_gives_none(self, event_class: type[DomainEvent]) -> None:
        """A subclass of a subclass has its own name, whatever its base is called."""
        event = event_class(aggregate_id=uuid4())

        assert event.event_type == event_class.__name__

    def test_a_name_that_the_class_gives_is_kept(self) -> None:
        """The name in the store need not be that of the class."""
        assert Closed(aggregate_id=uuid4()).event_type == "account.closed"

    def test_subclasses_leave_the_name_of_their_base_alone(self) -> None:
        """Defining a subclass changes nothing that was there."""
        assert Opened.model_fields["event_type"].default == "Opened"

    def test_a_literal_name_is_kept(self) -> None:
        """A literal may be used to tell events of a union apart."""
        assert Frozen(aggregate_id=uuid4()).event_type == "account.frozen"

    def test_any_other_name_than_the_literal_is_refused(self) -> None:
        """The literal means what it says."""
        with pytest.raises(ValidationError, match="event_type"):
            Frozen(aggregate_id=uuid4(), event_type="account.closed")  # type: ignore[arg-type]

    def test_a_subclass_keeps_the_literal_that_it_inherits(self) -> None:
        """A default that the field refuses could be written but never read."""
        event = FrozenByCourt(aggregate_id=uuid4())

        assert FrozenByCourt.from_dict(event.to_dict()) == event

    def test_a_name_given_for_one_event_is_kept(self) -> None:
        """The default is only a default."""
        assert Opened(aggregate_id=uuid4(), event_type="opened").event_type == "opened"


class TestCopies:
    def test_causation_carries_the_conversation_on(self) -> None:
        """The copy names its cause and shares the correlation id."""
        cause = Opened(aggregate_id=uuid4())

        effect = Closed(aggregate_id=uuid4()).with_causation(cause)

        assert (effect.causation_id, effect.correlation_id) == (cause.event_id, cause.correlation_id)

    def test_an_effect_knows_its_cause_and_its_conversation(self) -> None:
        """The two questions have an answer each."""
        cause, stranger = Opened(aggregate_id=uuid4()), Opened(aggregate_id=uuid4())
        effect = Closed(aggregate_id=uuid4()).with_causation(cause)

        answers = [effect.is_caused_by(cause), effect.is_correlated_with(cause)]

        assert answers == [True, True]
        assert not effect.is_caused_by(stranger)
        assert not effect.is_correlated_with(stranger)

    def test_metadata_is_merged_over_what_was_there(self) -> None:
        """What is given last wins."""
        event = Opened(aggregate_id=uuid4(), metadata={"a": 1, "b": 1})

        assert event.with_metadata(b=2, c=3).metadata == {"a": 1, "b": 2, "c": 3}

    def test_the_copy_differs_in_the_version_only(self) -> None:
        """All other fields are as they were."""
        event = Opened(aggregate_id=uuid4())

        copy = event.with_aggregate_version(7)

        assert {**event.model_dump(), "aggregate_version": 7} == copy.model_dump()

    def test_the_original_stays_as_it_was(self) -> None:
        """Copying changes nothing."""
        event = Opened(aggregate_id=uuid4(), metadata={"a": 1})
        before = event.model_dump()

        event.with_metadata(a=2).with_aggregate_version(3).with_causation(Opened(aggregate_id=uuid4()))

        assert event.model_dump() == before

    def test_a_copy_is_of_the_same_class(self) -> None:
        """A copy of an event is the same kind of event."""
        assert type(OpenedOnline(aggregate_id=uuid4()).with_metadata(a=1)) is OpenedOnline


class TestJson:
    def test_an_event_survives_its_dictionary(self) -> None:
        """Decimals, bytes and times keep their types and values."""
        event = Paid(aggregate_id=uuid4(), tenant_id=uuid4(), actor_id="ada", metadata={"tags": ["a", None, 1.5]})

        assert Paid.from_dict(event.to_dict()) == event

    def test_the_dictionary_is_json(self) -> None:
        """The standard library can write it and nothing is lost on the way."""
        event = Paid(aggregate_id=uuid4())

        text = json.dumps(event.to_dict(), allow_nan=False)

        assert Paid.from_dict(json.loads(text)) == event

    def test_decimals_keep_their_digits(self) -> None:
        """Money is not rounded, and its trailing zeros stay."""
        event = Paid(aggregate_id=uuid4(), amount=Decimal("0.10"))

        assert str(Paid.from_dict(event.to_dict()).amount) == "0.10"

    def test_infinity_survives(self) -> None:
        """A number without end is a number still."""
        event = Paid(aggregate_id=uuid4(), rate=float("inf"))

        assert Paid.from_dict(event.to_dict()).rate == float("inf")

    @pytest.mark.parametrize("key", ["amount", "amountPaid"])
    def test_a_field_is_found_by_its_name_and_its_alias(self, key: str) -> None:
        """Either way of writing can be read."""
        event = Paid.from_dict({"aggregate_id": str(uuid4()), key: "7.5"})

        assert event.amount == Decimal("7.5")

    def test_a_dictionary_of_something_else_is_refused(self) -> None:
        """An invalid event never comes into being."""
        with pytest.raises(ValidationError):
            Opened.from_dict({"aggregate_id": "nobody"})


class TestText:
    def test_str_names_type_ids_and_version(self) -> None:
        """A log line tells which event it is about."""
        event = Closed(aggregate_id=uuid4(), aggregate_version=4)

        assert str(event) == (
            f"account.closed(event_id={event.event_id}, aggregate_id={event.aggregate_id}, version=4)"
        )

    def test_repr_begins_with_the_class(self) -> None:
        """The class and the type in the store may differ; repr tells both."""
        text = repr(Closed(aggregate_id=uuid4()))

        assert text.startswith("Closed(")
        assert "event_type='account.closed'" in text

    @pytest.mark.parametrize("field", ["event_id", "aggregate_id", "aggregate_type", "tenant_id"])
    def test_repr_tells_whose_event_it_is(self, field: str) -> None:
        """Everything that tells one event from another is there."""
        event = Opened(aggregate_id=uuid4(), tenant_id=uuid4())

        assert str(getattr(event, field)) in repr(event)
