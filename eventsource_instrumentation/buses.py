"""The rows of event buses."""

from datetime import datetime

from opentelemetry.trace import SpanKind

from eventsource import observability as es
from eventsource.bus.interface import EventBus
from eventsource.bus.operations import Consume, DeadLetter, Dispatch, Handle, Publish, RefreshConsumption
from eventsource.stores.values import as_utc
from eventsource_instrumentation import getters as get
from eventsource_instrumentation import kafka, messaging
from eventsource_instrumentation.rows import Row


def _occurred_at(publish: Publish) -> datetime:
    return as_utc(publish.events[0].occurred_at)


def _sent_at(consume: Consume) -> datetime | None:
    sent_at = consume.message.sent_at
    return None if sent_at is None else as_utc(sent_at)


def _comes_again(consume: Consume) -> bool:
    return consume.message.is_redelivered or consume.message.is_replayed


BUS_ROWS = (
    Row(
        Publish,
        EventBus,
        ("eventsource.event_bus.publish",),
        SpanKind.PRODUCER,
        messaging.PUBLICATION,
        measurements=(messaging.SENT_MESSAGES, messaging.PUBLISHING, *kafka.PUBLISH),
        headers="message",
        sent_at=_occurred_at,
    ),
    Row(
        Consume,
        EventBus,
        ("eventsource.event_bus.consume",),
        SpanKind.CONSUMER,
        messaging.CONSUMPTION,
        measurements=(messaging.CONSUMED_MESSAGES, messaging.PROCESSING, *kafka.CONSUME),
        headers="onward",
        sent_at=_sent_at,
        comes_again=_comes_again,
    ),
    Row(
        Dispatch,
        EventBus,
        ("eventsource.event_bus.dispatch",),
        SpanKind.INTERNAL,
        {**get.EVENT, es.ATTR_HANDLER_COUNT: lambda o: len(o.operation.handlers)},
    ),
    Row(
        Handle,
        EventBus,
        ("eventsource.event_bus.handle",),
        SpanKind.INTERNAL,
        {**get.EVENT, es.ATTR_HANDLER_NAME: lambda o: o.operation.handler.name},
        measurements=kafka.HANDLE,
    ),
    Row(DeadLetter, EventBus, (), SpanKind.INTERNAL, {}, measurements=(messaging.DEAD_LETTERS, kafka.DEAD_LETTERS)),
    Row(RefreshConsumption, EventBus, (), SpanKind.INTERNAL, {}, gauges=kafka.GAUGES),
)
