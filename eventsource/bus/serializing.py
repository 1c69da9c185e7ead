"""Events to the bodies of messages and back."""

from eventsource.events.base import DomainEvent
from eventsource.events.registry import EventRegistry
from eventsource.exceptions import DeserializationError
from eventsource.serialization import EventSerializer as EventJSON


class EventSerializer:
    """
    Writes events as JSON, and reads them as today's version of their class.

    Subclass it to carry events in another form.
    """

    def __init__(self, registry: EventRegistry | None = None) -> None:
        self._json = EventJSON(registry)

    @property
    def registry(self) -> EventRegistry:
        """Which class stands for which type."""
        return self._json.registry

    def serialize(self, event: DomainEvent) -> bytes:
        """
        Return the body of the message that carries *event*.

        Raises:
            SerializationError: If a value of it has no JSON form.
        """
        return self._json.encode(event).encode()

    def deserialize(self, data: bytes, event_type: str, event_class: type[DomainEvent]) -> DomainEvent:
        """
        Return the event in *data*, an *event_class* that was written as an *event_type*.

        Raises:
            DeserializationError: If it cannot be read.
        """
        try:
            event = self._json.decode(event_type, 0, data)  # what is registered finds the version in the payload
        except Exception as error:  # whatever is wrong with it, it will be so again
            raise DeserializationError(str(error)) from error
        if not isinstance(event, event_class):
            raise DeserializationError(f"an event of type {event_type!r} is no {event_class.__name__}")
        return event

    def content_type(self) -> str:
        """Return the media type of the bodies."""
        return "application/json"
