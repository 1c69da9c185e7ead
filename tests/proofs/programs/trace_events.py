"""What the services tell one another."""

from eventsource import DomainEvent, register_event


@register_event
class OrderPlaced(DomainEvent):
    aggregate_type: str = "Order"
    article: str


@register_event
class ParcelSent(DomainEvent):
    aggregate_type: str = "Parcel"
    article: str
