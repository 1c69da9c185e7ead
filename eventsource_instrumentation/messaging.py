"""What is known of messages, and what is measured of them, whatever carries them."""

from collections.abc import Callable, Mapping
from typing import TypeVar

from opentelemetry.semconv._incubating.attributes import messaging_attributes as messaging
from opentelemetry.semconv.attributes import server_attributes as server
from opentelemetry.semconv.attributes.error_attributes import ERROR_TYPE

from eventsource import observability as es
from eventsource.bus.messages import Address
from eventsource_instrumentation.errors import error_type
from eventsource_instrumentation.getters import EVENTS, only
from eventsource_instrumentation.measurements import DLQ_EVENTS, ERROR, duration_of
from eventsource_instrumentation.observation import Getter, Observation
from eventsource_instrumentation.rows import Measurement, Metric

Value = TypeVar("Value", str, int)


def _destination_of_events(observed: Observation) -> str | None:
    """Return where the events go that are published, None if to several places or nowhere."""
    found = observed.once(_destinations)
    return next(iter(found)) if len(found) == 1 else None


def _destinations(observed: Observation) -> set[str | None]:
    events = observed.operation.events
    if len(events) == 1:
        addresses = [observed.once(_address_of_event)]
    else:
        addresses = [observed.component.address_of(event) for event in events]
    return {None if address is None else address.destination for address in addresses}


def _address_of_event(observed: Observation) -> Address | None:
    """Return where the one event goes that is published, None if there are several."""
    events = observed.operation.events
    address: Address | None = observed.component.address_of(events[0]) if len(events) == 1 else None
    return address


def _published(find: Callable[[Address], Value | None], system: str) -> Getter:
    """Return the getter of a part of the address of the one event that is published to *system*."""

    def get(observed: Observation) -> Value | None:
        address = observed.once(_address_of_event) if observed.component.system == system else None
        return None if address is None else find(address)

    return get


def _consumed(find: Callable[[Address], Value | None], system: str) -> Getter:
    """Return the getter of a part of the address of a message from *system*."""

    def get(observed: Observation) -> Value | None:
        return find(observed.operation.message.address) if observed.component.system == system else None

    return get


def _header(name: str) -> Getter:
    return lambda o: o.operation.message.headers.get(name)


def partition_of_message(observed: Observation) -> str | None:
    """Return the partition that a message was in, if there is such a thing."""
    partition = observed.operation.message.address.partition
    return None if partition is None else str(partition)


SYSTEM: Mapping[str, Getter] = {messaging.MESSAGING_SYSTEM: lambda o: o.component.system}
_SERVER: Mapping[str, Getter] = {
    server.SERVER_ADDRESS: lambda o: o.component.server and o.component.server.address,
    server.SERVER_PORT: lambda o: o.component.server and o.component.server.port,
}
_GROUP: Mapping[str, Getter] = {messaging.MESSAGING_CONSUMER_GROUP_NAME: lambda o: o.component.consumer_group}
SOURCE: Mapping[str, Getter] = {messaging.MESSAGING_DESTINATION_NAME: lambda o: o.operation.message.address.destination}
DESTINATION: Mapping[str, Getter] = {messaging.MESSAGING_DESTINATION_NAME: _destination_of_events}
_SENDING: Mapping[str, Getter] = {
    **SYSTEM,
    **DESTINATION,
    messaging.MESSAGING_OPERATION_NAME: lambda o: "publish",
}
_PROCESSING: Mapping[str, Getter] = {
    **SYSTEM,
    **SOURCE,
    messaging.MESSAGING_OPERATION_NAME: lambda o: "consume",
    **_GROUP,
}

PUBLICATION: Mapping[str, Getter] = {
    **_SENDING,
    messaging.MESSAGING_OPERATION_TYPE: lambda o: "send",
    messaging.MESSAGING_BATCH_MESSAGE_COUNT: lambda o: len(o.operation.events) if len(o.operation.events) > 1 else None,
    messaging.MESSAGING_MESSAGE_ID: only("event_id"),
    messaging.MESSAGING_KAFKA_MESSAGE_KEY: _published(lambda address: address.key, "kafka"),
    messaging.MESSAGING_RABBITMQ_DESTINATION_ROUTING_KEY: _published(lambda address: address.routing_key, "rabbitmq"),
    **_SERVER,
    **EVENTS,
    es.ATTR_EVENT_ID: only("event_id"),
    es.ATTR_AGGREGATE_ID: only("aggregate_id"),
    es.ATTR_AGGREGATE_TYPE: only("aggregate_type"),
}
CONSUMPTION: Mapping[str, Getter] = {
    **_PROCESSING,
    messaging.MESSAGING_OPERATION_TYPE: lambda o: "process",
    messaging.MESSAGING_MESSAGE_ID: lambda o: o.operation.message.message_id,
    messaging.MESSAGING_DESTINATION_PARTITION_ID: partition_of_message,
    messaging.MESSAGING_KAFKA_MESSAGE_KEY: _consumed(lambda address: address.key, "kafka"),
    messaging.MESSAGING_KAFKA_OFFSET: _consumed(lambda address: address.offset, "kafka"),
    messaging.MESSAGING_RABBITMQ_DESTINATION_ROUTING_KEY: _consumed(lambda address: address.routing_key, "rabbitmq"),
    **_SERVER,
    es.ATTR_EVENT_TYPE: lambda o: o.operation.message.event_type,
    es.ATTR_EVENT_ID: lambda o: o.operation.message.message_id,
    es.ATTR_AGGREGATE_ID: _header("aggregate_id"),
    es.ATTR_AGGREGATE_TYPE: _header("aggregate_type"),
    es.ATTR_CORRELATION_ID: _header("correlation_id"),
    es.ATTR_CAUSATION_ID: _header("causation_id"),
    es.ATTR_RETRY_COUNT: lambda o: o.operation.attempt,
}

SENT_MESSAGES = Measurement(
    Metric("messaging.client.sent.messages", "counter", "{message}", "Messages that were published."),
    lambda o: len(o.operation.events),
    {**_SENDING, **ERROR},
)
PUBLISHING = duration_of("messaging.client.operation.duration", "How long publishing took.", _SENDING)
CONSUMED_MESSAGES = Measurement(
    Metric(
        "messaging.client.consumed.messages",
        "counter",
        "{message}",
        "Messages that were delivered, each once, with the error of the first attempt to handle it.",
    ),
    lambda o: 1 if o.operation.attempt == 0 else None,
    {**_PROCESSING, **ERROR},
)
PROCESSING = duration_of("messaging.process.duration", "How long an attempt to handle a message took.", _PROCESSING)
DEAD_LETTERS = Measurement(
    DLQ_EVENTS,
    lambda o: 1 if o.error is None else None,
    {**SYSTEM, **SOURCE, **_GROUP, ERROR_TYPE: lambda o: error_type(o.operation.error)},
)
