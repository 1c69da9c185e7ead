"""The buses of the programs that consume from a broker and publish to it."""

from typing import Any

from eventsource import KafkaEventBus, KafkaEventBusConfig, RabbitMQEventBus, RabbitMQEventBusConfig
from eventsource.bus.broker import BrokerEventBus

OPTIONS: dict[str, Any] = {"retry_base_delay": 0.01, "retry_max_delay": 0.01, "max_concurrency": 10}


def bus_over(broker: str, address: str, name: str, publish_timeout: float) -> BrokerEventBus:
    """Return a bus to which a member that was killed counts as dead as soon as its broker allows."""
    if broker == "rabbitmq":
        return RabbitMQEventBus(
            RabbitMQEventBusConfig(
                rabbitmq_url=address,
                exchange_name=name,
                consumer_group=name,
                publish_timeout=publish_timeout,
                **OPTIONS,
            )
        )
    return KafkaEventBus(
        KafkaEventBusConfig(
            bootstrap_servers=address,
            topic_prefix=name,
            consumer_group=name,
            publish_timeout=publish_timeout,
            session_timeout_ms=6000,
            heartbeat_interval_ms=500,
            **OPTIONS,
        )
    )
