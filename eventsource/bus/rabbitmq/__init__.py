"""An event bus over RabbitMQ; its driver is imported when a bus is made."""

from eventsource.bus.rabbitmq.bus import RABBITMQ_AVAILABLE, RabbitMQEventBus
from eventsource.bus.rabbitmq.config import RabbitMQEventBusConfig
from eventsource.bus.rabbitmq.errors import BatchPublishError, RabbitMQNotAvailableError, ShutdownError
from eventsource.bus.rabbitmq.statistics import RabbitMQEventBusStats
from eventsource.bus.rabbitmq.values import DLQMessage, HealthCheckResult, QueueInfo

__all__ = [
    "RABBITMQ_AVAILABLE",
    "BatchPublishError",
    "DLQMessage",
    "HealthCheckResult",
    "QueueInfo",
    "RabbitMQEventBus",
    "RabbitMQEventBusConfig",
    "RabbitMQEventBusStats",
    "RabbitMQNotAvailableError",
    "ShutdownError",
]
