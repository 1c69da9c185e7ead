"""
The metrics of buses over Kafka, by the names that their users know.

What they count and measure is what the buses do; the gauges read ``is_connected``, ``stats``, ``lag`` and ``config`` of
a bus.
"""

from collections.abc import Callable, Mapping
from typing import Any

from opentelemetry.semconv._incubating.attributes import messaging_attributes as messaging
from opentelemetry.semconv.attributes.error_attributes import ERROR_TYPE

from eventsource_instrumentation.errors import error_type
from eventsource_instrumentation.getters import of_event, types_of
from eventsource_instrumentation.measurements import ERROR, duration_of, events_by_type
from eventsource_instrumentation.messaging import DESTINATION, SOURCE, SYSTEM, partition_of_message
from eventsource_instrumentation.observation import Getter, Observation
from eventsource_instrumentation.rows import Gauge, Measurement, Metric

_KAFKA = "kafka"
_PREFIX = "kafka.eventbus."
_EVENT_TYPE = "event.type"

_HANDLER: Mapping[str, Getter] = {
    "handler.name": lambda o: o.operation.handler.name,
    _EVENT_TYPE: of_event("event_type"),
}


def _count(
    name: str,
    unit: str,
    description: str,
    amount: Callable[[Observation], float | None],
    attributes: Mapping[str, Getter],
    split: tuple[str, Callable[[Observation], Mapping[str, int]]] | None = None,
) -> Measurement:
    metric = Metric(_PREFIX + name, "counter", unit, description)
    return Measurement(metric, amount, attributes, split, system=_KAFKA)


def _duration(name: str, description: str, attributes: Mapping[str, Getter]) -> Measurement:
    return duration_of(_PREFIX + name, description, attributes, system=_KAFKA)


def _has_succeeded(observed: Observation) -> int | None:
    return 1 if observed.error is None else None


def _has_failed(observed: Observation) -> int | None:
    return 1 if isinstance(observed.error, Exception) else None  # others end it from outside, which is no failure


def _only_type(observed: Observation) -> str | None:
    types = types_of(observed.operation.events)
    return types[0] if len(types) == 1 else None


PUBLISH = (
    _count(
        "messages.published",
        "{message}",
        "Messages that were published to Kafka.",
        _has_succeeded,
        {**SYSTEM, **DESTINATION},
        (_EVENT_TYPE, events_by_type),
    ),
    _count(
        "publish.errors",
        "{error}",
        "Calls that failed to publish to Kafka.",
        _has_failed,
        {**SYSTEM, **DESTINATION, _EVENT_TYPE: _only_type, **ERROR},
    ),
    _duration("publish.duration", "How long publishing to Kafka took.", DESTINATION),
    Measurement(
        Metric(_PREFIX + "batch.size", "histogram", "{message}", "Messages that one call publishes to Kafka."),
        lambda o: len(o.operation.events),
        {},
        system=_KAFKA,
    ),
)
CONSUME = (
    _count(
        "messages.consumed",
        "{message}",
        "Messages that Kafka has delivered, each once.",
        lambda o: 1 if o.operation.attempt == 0 else None,
        {
            **SYSTEM,
            **SOURCE,
            messaging.MESSAGING_DESTINATION_PARTITION_ID: partition_of_message,
            _EVENT_TYPE: lambda o: o.operation.message.event_type,
        },
    ),
    _duration("consume.duration", "How long an attempt to handle a message from Kafka took.", SOURCE),
)
HANDLE = (
    _count("handler.invocations", "{invocation}", "Events that handlers have handled.", _has_succeeded, _HANDLER),
    _count(
        "handler.errors", "{error}", "Events that handlers have failed to handle.", _has_failed, {**_HANDLER, **ERROR}
    ),
    _duration("handler.duration", "How long a handler took.", _HANDLER),
)
DEAD_LETTERS = _count(
    "messages.dlq",
    "{message}",
    "Messages that became dead letters.",
    _has_succeeded,
    {"dlq.reason": lambda o: o.operation.reason, ERROR_TYPE: lambda o: error_type(o.operation.error)},
)

_BUS: Mapping[str, Callable[[Any], str]] = {
    messaging.MESSAGING_CONSUMER_GROUP_NAME: lambda bus: bus.consumer_group,
    messaging.MESSAGING_DESTINATION_NAME: lambda bus: bus.config.topic_name,
}


def _while_connected(reading: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda bus: reading(bus) if bus.is_connected else None


def _counted(name: str, unit: str, description: str, reading: Callable[[Any], int]) -> Gauge:
    metric = Metric(_PREFIX + name, "observable counter", unit, description)
    return Gauge(metric, _while_connected(reading), _BUS, system=_KAFKA)


GAUGES = (
    _counted(
        "connection.errors",
        "{error}",
        "Connections to Kafka that could not be made or were lost.",
        lambda bus: bus.stats.connection_errors,
    ),
    _counted(
        "reconnections",
        "{reconnection}",
        "Times that a consumer went on after its connection to Kafka was lost.",
        lambda bus: bus.stats.reconnections,
    ),
    _counted(
        "rebalances",
        "{rebalance}",
        "Times that partitions were taken from a consumer.",
        lambda bus: bus.stats.rebalance_count,
    ),
    Gauge(
        Metric(
            _PREFIX + "connections.active",
            "observable gauge",
            "{connection}",
            "Whether a bus is connected to Kafka: 1 while it is.",
        ),
        _while_connected(lambda bus: 1),
        _BUS,
        system=_KAFKA,
    ),
    Gauge(
        Metric(
            _PREFIX + "consumer.lag",
            "observable gauge",
            "{message}",
            "How many messages of a partition are not settled by the consumer group, handled or kept as dead letters.",
        ),
        _while_connected(lambda bus: {str(partition): messages for partition, messages in bus.lag.items()}),
        _BUS,
        by=messaging.MESSAGING_DESTINATION_PARTITION_ID,
        system=_KAFKA,
    ),
)
"""Of a bus while it is connected."""
