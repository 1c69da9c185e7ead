"""The event bus over Kafka."""

import asyncio
from collections.abc import Mapping, Sequence
from contextvars import Context
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, ClassVar

from eventsource.bus.broker import BrokerEventBus
from eventsource.bus.kafka.config import KafkaEventBusConfig
from eventsource.bus.kafka.errors import KafkaNotAvailableError
from eventsource.bus.kafka.statistics import KafkaEventBusStats
from eventsource.bus.messages import Address, Server
from eventsource.bus.operations import DeadLetter, RefreshConsumption
from eventsource.bus.serializing import EventSerializer
from eventsource.bus.stopping import Stop
from eventsource.events.base import DomainEvent
from eventsource.events.registry import EventRegistry
from eventsource.handlers.adapter import HandlerAdapter
from eventsource.types import Headers

if TYPE_CHECKING:
    from eventsource.bus.kafka.consuming import Membership
    from eventsource.bus.kafka.publishing import Outgoing

KAFKA_AVAILABLE = find_spec("aiokafka") is not None
"""Whether the driver is installed."""

_LEAVING = 5.0
"""Seconds that a consumer has, once it is cancelled, to take leave of brokers that do not answer."""


class KafkaEventBus(BrokerEventBus):
    """
    Carries events through a topic, in the order of their aggregates, to one consumer of each group.

    The key of a message is the id of the aggregate. Connecting does not join the group: a bus that only publishes
    never takes a partition. Offsets are committed after a message was handled or is safely a dead letter, so that each
    is handled at least once.

    Args:
        config: How to connect, and what to do; a broker on this machine if not given.
        event_registry: Which class stands for which type of event; the default registry if not given.
        serializer: Events to bodies and back; JSON if not given.

    Raises:
        KafkaNotAvailableError: If aiokafka is not installed.
    """

    system: ClassVar[str] = "kafka"
    concurrent_publications: ClassVar[int] = 100

    _stats: KafkaEventBusStats

    def __init__(
        self,
        config: KafkaEventBusConfig | None = None,
        event_registry: EventRegistry | None = None,
        serializer: EventSerializer | None = None,
    ) -> None:
        if not KAFKA_AVAILABLE:
            raise KafkaNotAvailableError
        self._config = config = config or KafkaEventBusConfig()
        super().__init__(
            stats=KafkaEventBusStats(),
            serializer=serializer or EventSerializer(event_registry),
            policy=config.retry_policy,
            enable_dlq=config.enable_dlq,
            shutdown_timeout=config.shutdown_timeout,
            consumer=f"kafka-consumer-{config.consumer_name}",
        )
        self.enable_tracing = config.enable_tracing
        self.enable_metrics = config.enable_metrics
        self.consumer_group = config.consumer_group
        self.server = _server_of(config.bootstrap_servers)
        self._membership: Membership | None = None
        self._refreshing: asyncio.Task[None] | None = None
        self._lag: Mapping[int, int] = {}
        self._attach_driver()

    @property
    def config(self) -> KafkaEventBusConfig:
        """What it was made with."""
        return self._config

    @property
    def stats(self) -> KafkaEventBusStats:
        """What was counted so far."""
        return self._stats

    @property
    def is_connected(self) -> bool:
        """Whether it can publish, as soon as the brokers answer."""
        return self._publisher.is_open

    @property
    def lag(self) -> Mapping[int, int]:
        """How many messages of each assigned partition were not settled when that was last looked at."""
        return self._lag

    def address_of(self, event: DomainEvent) -> Address:
        """Return the topic, and the aggregate's id as the key."""
        return Address(self._config.topic_name, key=str(event.aggregate_id))

    def get_handlers_for_event(self, event_type: str) -> list[HandlerAdapter]:
        """Return the handlers of the class registered as *event_type*, then those of every event."""
        return list(self._subscriptions.of(self._serializer.registry.get(event_type)))

    async def get_topic_info(self) -> dict[str, Any]:
        """
        Return name and partitions of the topic, and what this bus does with it.

        Raises:
            EventBusError: If the brokers do not tell.
            NotConnectedError: If it is not connected.
        """
        return {
            "topic": self._config.topic_name,
            "partitions": len(await self._publisher.partitions_of(self._config.topic_name)),
            "consumer_group": self._config.consumer_group,
            "connected": self.is_connected,
            "consuming": self.is_consuming,
        }

    async def get_dlq_messages(
        self, limit: int = 100, timeout_ms: int = 5000, use_consumer_group: bool = False
    ) -> list[dict[str, Any]]:
        """
        Return dead letters, those of a partition from the oldest on.

        Each has its place, key, headers and payload, and how often it was replayed.

        Args:
            limit: How many at most.
            timeout_ms: How long to wait for the brokers.
            use_consumer_group: Whether to begin where the last such call has ended, and to note where this one ends.

        Raises:
            EventBusError: If they cannot be read.
            NotConnectedError: If the bus is not connected.
            ValueError: If a group is to be used, but the configuration has no ``dlq_consumer_group``.
        """
        if use_consumer_group and self._config.dlq_consumer_group is None:
            raise ValueError("use_consumer_group=True needs a dlq_consumer_group in the configuration")
        group = self._config.dlq_consumer_group if use_consumer_group else None
        return await self._dead_letters.read(limit, timeout_ms, group)

    async def get_dlq_message_count(self) -> int:
        """
        Return how many dead letters there are; one that was replayed stays.

        Raises:
            EventBusError: If that cannot be found out.
            NotConnectedError: If the bus is not connected.
        """
        return await self._dead_letters.count()

    async def replay_dlq_message(self, partition: int, offset: int, force: bool = False) -> bool:
        """
        Give a dead letter to its consumer group again, and to no other, and return True; the copy in the topic stays.

        Args:
            partition: Where it is, as `get_dlq_messages` says.
            offset: The same.
            force: Whether to do so although it was replayed ``dlq_max_replay_attempts`` times.

        Raises:
            EventBusError: If it cannot be read or published.
            NotConnectedError: If the bus is not connected.
            ValueError: If it is not there, or was replayed too often.
        """
        await self._dead_letters.replay(partition, offset, force=force)
        self._logger.info("DLQ message replayed", extra={"partition": partition, "offset": offset})
        return True

    def record_reconnection(self) -> None:
        """Count a consumer that has begun again."""
        self._stats.reconnections += 1

    def record_rebalance(self) -> None:
        """Count partitions that were taken from this consumer."""
        self._stats.rebalance_count += 1

    def _check_open(self) -> None:
        super()._check_open()
        self._publisher.check_open()

    async def _connect(self) -> None:
        await self._publisher.open()
        if self._is_shut_down:  # by somebody who did not wait for the connection
            await self._publisher.close()
            self._check_not_shut_down()
        self._refreshing = asyncio.create_task(self._refresh_now_and_then(), context=Context())
        self._logger.info("Connected to Kafka")

    async def _disconnect(self) -> None:
        if self.is_consuming and self._consumption is not None:  # it was cancelled
            await asyncio.wait({self._consumption}, timeout=_LEAVING)
        if self._refreshing is not None:
            self._refreshing.cancel()
            await asyncio.wait({self._refreshing})
            self._refreshing = None
        await self._publisher.close()

    def _message_of(self, event: DomainEvent, headers: Headers | None) -> "Outgoing":
        return self._writer.message_of(event, headers)

    async def _send(self, messages: "Sequence[Outgoing]") -> None:
        await self._publisher.send(messages)

    async def _keep(self, dead_letter: DeadLetter) -> None:
        await self._dead_letters.keep(dead_letter)

    async def _run_session(self, stop: Stop) -> None:
        from eventsource.bus.kafka.consuming import Membership

        await self._check_topics()
        self._membership = Membership(
            self._config,
            self._attempt,
            self._bury,
            self._policy,
            on_assigned=self._note_delivering,
            on_rebalance=self.record_rebalance,
        )
        try:
            await self._membership.run(stop)
        finally:
            self._membership = None
            self._lag = {}

    async def _check_topics(self) -> None:
        """Refuse to begin where a topic is missing: aiokafka would wait for it for ever."""
        await self._publisher.partitions_of(self._config.topic_name)
        if self._config.enable_dlq:
            await self._dead_letters.check()

    async def _refresh_now_and_then(self) -> None:
        while True:
            try:
                await self._perform(self._refresh, RefreshConsumption())
            except Exception as error:  # the brokers may be away; the last known lag stays
                self._logger.debug("The lag could not be found out: %r", error)
            await asyncio.sleep(self._config.lag_interval)

    async def _refresh(self, refresh: RefreshConsumption) -> None:
        membership = self._membership
        lag = {} if membership is None else await membership.lag()
        if membership is self._membership:
            self._lag = lag

    def _attach_driver(self) -> None:
        """Make what needs the driver, which is imported here and not before."""
        from eventsource.bus.kafka.dead_letters import DeadLetterTopic
        from eventsource.bus.kafka.publishing import Publisher, Writer

        self._writer = Writer(self._serializer, self._config.topic_name, self._config.max_request_size)
        self._publisher = Publisher(self._config)
        self._dead_letters = DeadLetterTopic(self._config, self._publisher)


def _server_of(bootstrap_servers: str) -> Server:
    """Return host and port of the broker, if there is one; of several, all of them."""
    host, _, port = bootstrap_servers.rpartition(":")
    return Server(host, int(port)) if port.isdecimal() and "," not in bootstrap_servers else Server(bootstrap_servers)
