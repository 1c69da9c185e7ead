"""Validation errors quote what they were given, which may be anything: telemetry does not repeat it."""

import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any, Literal
from uuid import UUID, uuid4

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from eventsource import DomainEvent, EventRegistry, InMemoryEventStore, SQLiteEventStore
from eventsource.exceptions import SerializationError
from eventsource.stores.operations import Append
from eventsource.testing.events import DOOR, opened
from eventsource_instrumentation.recording import RecordedSpans

APPEND = "eventsource.event_store.append_events"
SECRET = "4929 1234 5678 9012"


class Failing(InMemoryEventStore):
    """Fails to append, always with the same exception."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self._error = error

    async def _append(self, append: Append) -> Any:
        raise self._error


class Paid(DomainEvent):
    event_type: str = "Paid"
    aggregate_type: str = DOOR
    card: str


class PaidByNumber(DomainEvent):
    event_type: str = "Paid"
    aggregate_type: str = DOOR
    card: int


class Lines:
    """Something that shows itself on several lines."""

    def __repr__(self) -> str:
        return f"<\n{SECRET}\n>"


VALUES = {
    "text": SECRET,
    "with a false end": f", input_type=str] {SECRET}",
    "nested": {"numbers": [SECRET]},
    "on several lines": Lines(),
}


def text_of(span: ReadableSpan) -> str:
    """Return everything that the exporter is given."""
    return span.to_json()


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
async def test_validation_errors_are_recorded_without_it(
    value: object, door: UUID, eventsource_spans: RecordedSpans
) -> None:
    """What is wrong is told, the value is not; the exception itself is left as it is."""
    with pytest.raises(ValidationError) as invalid:
        PaidByNumber.model_validate({"aggregate_id": door, "card": value})
    message = str(invalid.value)

    with pytest.raises(ValidationError) as caught:
        await Failing(invalid.value).append_events(door, DOOR, opened(door, 1), 0)

    span = eventsource_spans.one(APPEND)
    assert "card" in (span.status.description or "")
    assert SECRET not in text_of(span)
    assert str(caught.value) == message


async def test_what_comes_after_it_in_the_message_stays(eventsource_spans: RecordedSpans) -> None:
    """Each of several problems is told."""
    with pytest.raises(ValidationError) as invalid:
        PaidByNumber.model_validate({"aggregate_id": SECRET, "card": SECRET})
    door = uuid4()

    with pytest.raises(ValidationError):
        await Failing(invalid.value).append_events(door, DOOR, opened(door, 1), 0)

    description = eventsource_spans.one(APPEND).status.description or ""
    assert "aggregate_id" in description
    assert "card" in description
    assert SECRET not in description


async def test_stored_events_that_cannot_be_read_are_recorded_without_it(
    tmp_path: Path, door: UUID, eventsource_spans: RecordedSpans
) -> None:
    """Nor does the stack trace show it, which names the cause."""
    registry = EventRegistry()
    registry.register(PaidByNumber)
    path = tmp_path / "doors.db"
    async with SQLiteEventStore(path) as writer, SQLiteEventStore(path, registry) as store:
        await writer.append_events(door, DOOR, [Paid(aggregate_id=door, card=SECRET)], 0)

        with pytest.raises(SerializationError) as caught:
            await store.get_events(door, DOOR)

    span = eventsource_spans.one("eventsource.event_store.get_events")
    assert (span.attributes or {})["error.type"] == "SerializationError"
    invalid = caught.value.__cause__
    assert invalid is not None
    assert SECRET in str(invalid.__cause__)
    assert "ValidationError" in text_of(span)
    assert SECRET not in text_of(span)


class Cash(BaseModel):
    means: Literal["cash"]


class Transfer(BaseModel):
    means: Literal["transfer"]


Payment: TypeAdapter[Cash | Transfer] = TypeAdapter(Annotated[Cash | Transfer, Field(discriminator="means")])
TAGS = {
    "short": SECRET,
    "with a false end": f"' found using 'x': {SECRET}",
    "long": SECRET * 100,
    "on several lines": f"\n{SECRET}\n",
}


@pytest.mark.parametrize("tag", TAGS.values(), ids=TAGS)
async def test_the_tag_of_a_union_is_not_recorded(tag: str, door: UUID, eventsource_spans: RecordedSpans) -> None:
    """It stands in the sentence, not behind it; the tags that are expected are told."""
    with pytest.raises(ValidationError) as invalid:
        Payment.validate_python({"means": tag})

    with pytest.raises(ValidationError):
        await Failing(invalid.value).append_events(door, DOOR, opened(door, 1), 0)

    span = eventsource_spans.one(APPEND)
    assert SECRET in str(invalid.value)
    assert "Input tag found using 'means' does not match any of the expected tags: 'cash', 'transfer'" in (
        span.status.description or ""
    )
    assert SECRET not in text_of(span)


LONG_MESSAGES = """
from opentelemetry.trace import INVALID_SPAN

from eventsource_instrumentation.errors import mark_failed

for beginning in (", input_value=", "Input tag '", "Input tag '\\n", "Input tag '' found using "):
    mark_failed(INVALID_SPAN, ValueError(beginning * (1_000_000 // len(beginning))))
print("done")
"""


def test_a_message_of_beginnings_without_an_end_takes_no_age(tmp_path: Path) -> None:
    """Each place where a quotation might begin is looked at, but not all that follows it: hours against a second."""
    command = [sys.executable, "-c", LONG_MESSAGES]
    done = subprocess.run(command, cwd=tmp_path, check=False, capture_output=True, text=True, timeout=60)

    assert (done.stdout, done.stderr) == ("done\n", "")
