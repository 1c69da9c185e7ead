"""Event buses: from whoever publishes an event to whoever subscribed to its class."""

from typing import TYPE_CHECKING

from eventsource.bus.interface import (
    AsyncEventHandler,
    EventBus,
    EventHandler,
    EventHandlerFunc,
    EventSubscriber,
    FlexibleEventHandler,
    FlexibleEventSubscriber,
)
from eventsource.bus.memory import InMemoryEventBus
from eventsource.headers import current_headers
from eventsource.lazy import lazy_names

if TYPE_CHECKING:
    from eventsource.bus.kafka import (
        KAFKA_AVAILABLE,
        KafkaEventBus,
        KafkaEventBusConfig,
        KafkaEventBusStats,
        KafkaNotAvailableError,
    )
    from eventsource.bus.rabbitmq import (
        RABBITMQ_AVAILABLE,
        RabbitMQEventBus,
        RabbitMQEventBusConfig,
        RabbitMQEventBusStats,
        RabbitMQNotAvailableError,
    )

__all__ = [
    "KAFKA_AVAILABLE",
    "RABBITMQ_AVAILABLE",
    "AsyncEventHandler",
    "EventBus",
    "EventHandler",
    "EventHandlerFunc",
    "EventSubscriber",
    "FlexibleEventHandler",
    "FlexibleEventSubscriber",
    "InMemoryEventBus",
    "KafkaEventBus",
    "KafkaEventBusConfig",
    "KafkaEventBusStats",
    "KafkaNotAvailableError",
    "RabbitMQEventBus",
    "RabbitMQEventBusConfig",
    "RabbitMQEventBusStats",
    "RabbitMQNotAvailableError",
    "current_headers",
]

_KAFKA, _RABBITMQ = "eventsource.bus.kafka", "eventsource.bus.rabbitmq"

__getattr__ = lazy_names(
    __name__,
    {
        "KAFKA_AVAILABLE": _KAFKA,
        "KafkaEventBus": _KAFKA,
        "KafkaEventBusConfig": _KAFKA,
        "KafkaEventBusStats": _KAFKA,
        "KafkaNotAvailableError": _KAFKA,
        "RABBITMQ_AVAILABLE": _RABBITMQ,
        "RabbitMQEventBus": _RABBITMQ,
        "RabbitMQEventBusConfig": _RABBITMQ,
        "RabbitMQEventBusStats": _RABBITMQ,
        "RabbitMQNotAvailableError": _RABBITMQ,
    },
)
