"""What a bus over RabbitMQ counts."""

from dataclasses import dataclass

from eventsource.bus.statistics import BrokerStats


@dataclass(slots=True)
class RabbitMQEventBusStats(BrokerStats):
    """
    Counts since the bus was made or they were reset.

    ``publish_confirms`` are messages that the broker has taken, ``publish_returns`` those for which it had no queue;
    ``batch_publishes`` are calls of `publish_batch`, ``batch_partial_failures`` those that published only some events.
    """

    publish_confirms: int = 0
    publish_returns: int = 0
    batch_publishes: int = 0
    batch_events_published: int = 0
    batch_partial_failures: int = 0
