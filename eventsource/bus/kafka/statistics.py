"""What a bus over Kafka counts."""

from dataclasses import dataclass

from eventsource.bus.statistics import BrokerStats


@dataclass(slots=True)
class KafkaEventBusStats(BrokerStats):
    """Counts as of every bus over a broker, and how often partitions were taken from this member of the group."""

    rebalance_count: int = 0
