"""The routing keys of event classes."""

from eventsource.events.base import DomainEvent
from eventsource.events.checks import check_event_class
from eventsource.events.registry import EventRegistry


def routing_keys_of(event_type: type[DomainEvent], registry: EventRegistry) -> list[str]:
    """
    Return with which routing keys events of this class are published, former names of it included.

    Raises:
        TypeError: If it is no class of events.
        ValueError: If it does not tell its aggregate type.
    """
    check_event_class(event_type)
    aggregate_type = event_type.model_fields["aggregate_type"].default
    if not isinstance(aggregate_type, str):
        raise ValueError(
            f"{event_type.__name__} has no default for aggregate_type, so that its routing key is not known: "
            "await bind_routing_key('<aggregate_type>.<event_type>')"
        )
    return [f"{aggregate_type}.{name}" for name in sorted(registry.names_of(event_type))]
