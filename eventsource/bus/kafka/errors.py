"""Errors of a bus over Kafka."""

from eventsource.exceptions import EventSourceError


class KafkaNotAvailableError(EventSourceError, ImportError):
    """The driver is not installed."""

    def __init__(self) -> None:
        super().__init__("KafkaEventBus needs aiokafka: pip install 'eventsource-py[kafka]'")
