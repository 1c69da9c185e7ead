"""An event bus over Apache Kafka."""

from eventsource.bus.kafka.bus import KAFKA_AVAILABLE, KafkaEventBus
from eventsource.bus.kafka.config import KafkaEventBusConfig
from eventsource.bus.kafka.errors import KafkaNotAvailableError
from eventsource.bus.kafka.statistics import KafkaEventBusStats
from eventsource.bus.serializing import EventSerializer
from eventsource.exceptions import DeserializationError

__all__ = [
    "KAFKA_AVAILABLE",
    "DeserializationError",
    "EventSerializer",
    "KafkaEventBus",
    "KafkaEventBusConfig",
    "KafkaEventBusStats",
    "KafkaNotAvailableError",
]
