"""Buses over the broker that a command line names."""

from typing import Any

from eventsource import KafkaEventBus, KafkaEventBusConfig, RabbitMQEventBus, RabbitMQEventBusConfig
from eventsource.bus.broker import BrokerEventBus

SOON: dict[str, Any] = {"retry_base_delay": 0.02}
KAFKA: dict[str, Any] = {"session_timeout_ms": 6000, "heartbeat_interval_ms": 1000}
RABBITMQ: dict[str, Any] = {"prefetch_count": 100}


def bus_at(system: str, address: str, name: str, **options: Any) -> BrokerEventBus:
    """Return a bus of the exchange or topic called *name*."""
    if system == "kafka":
        return KafkaEventBus(
            KafkaEventBusConfig(bootstrap_servers=address, topic_prefix=name, **{**SOON, **KAFKA, **options})
        )
    return RabbitMQEventBus(
        RabbitMQEventBusConfig(rabbitmq_url=address, exchange_name=name, **{**SOON, **RABBITMQ, **options})
    )
