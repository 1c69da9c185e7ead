"""Events to JSON text and back, in one pass through pydantic's core."""

import pydantic_core
from pydantic import ValidationError
from pydantic_core import PydanticSerializationError

from eventsource.events.base import DomainEvent
from eventsource.events.registry import EventRegistry, RegisteredType, default_registry
from eventsource.events.upcasting import upcast
from eventsource.exceptions import SerializationError


class EventSerializer:
    """Writes events as JSON and reads them as today's version of the class registered under their name."""

    def __init__(self, registry: EventRegistry | None = None) -> None:
        self.registry = default_registry if registry is None else registry

    def name_of(self, event: DomainEvent) -> str:
        """
        Return the name to write *event* under, which `decode` finds its class by.

        Raises:
            DuplicateEventTypeError: If it would be read as another class.
        """
        return self.registry.name_of(event)

    def encode(self, event: DomainEvent) -> str:
        """
        Return *event* as JSON text.

        Raises:
            SerializationError: If a value of it has no JSON form.
        """
        try:
            return event.model_dump_json(round_trip=True)
        except (PydanticSerializationError, UnicodeError) as error:
            raise SerializationError(event.event_type, f"event {event.event_id}: {error}") from error

    def decode(self, event_type: str, event_version: int, payload: str | bytes) -> DomainEvent:
        """
        Return the event in *payload*, which was written as version *event_version* of *event_type*.

        Raises:
            EventTypeNotFoundError: If no class is registered for *event_type*.
            SerializationError: If *payload* is not such an event.
        """
        registered = self.registry.resolve(event_type)
        if event_type != registered.name or _is_outdated(registered, event_version):
            payload = _modernised(registered, payload)
        try:
            return registered.event_class.model_validate_json(payload, by_alias=True, by_name=True)
        except ValidationError as error:
            raise SerializationError(event_type, _without_input(error)) from error


def _is_outdated(registered: RegisteredType, event_version: int) -> bool:
    return bool(registered.upcasters) and event_version != max(registered.upcasters) + 1


def _modernised(registered: RegisteredType, payload: str | bytes) -> str | bytes:
    try:
        data = pydantic_core.from_json(payload)
    except ValueError:
        return payload  # validation will say what is wrong with it
    if not isinstance(data, dict):
        return payload
    if data.get("event_type") in registered.aliases:
        data["event_type"] = registered.name
    try:
        return pydantic_core.to_json(upcast(data, registered.upcasters))
    except Exception as error:  # an upcaster is the user's code and may raise anything
        message = f"it cannot be upcast: {type(error).__name__}: {error}"
        raise SerializationError(registered.name, message) from error


def _without_input(error: ValidationError) -> str:
    problems = error.errors(include_url=False, include_context=False, include_input=False)
    return "; ".join(f"{'.'.join(map(str, each['loc'])) or 'payload'}: {each['msg']}" for each in problems)
