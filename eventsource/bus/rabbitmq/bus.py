"""An event bus over RabbitMQ."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import fields, replace
from datetime import UTC, datetime
from functools import partial
from importlib.util import find_spec
from time import monotonic
from typing import TYPE_CHECKING, Any, ClassVar

from eventsource.bus.broker import BrokerEventBus
from eventsource.bus.messages import Address
from eventsource.bus.operations import DeadLetter, Publish
from eventsource.bus.rabbitmq import deaths
from eventsource.bus.rabbitmq.batches import Batch
from eventsource.bus.rabbitmq.binding import routing_keys_of
from eventsource.bus.rabbitmq.config import RabbitMQEventBusConfig
from eventsource.bus.rabbitmq.errors import RabbitMQNotAvailableError
from eventsource.bus.rabbitmq.statistics import RabbitMQEventBusStats
from eventsource.bus.rabbitmq.values import DLQMessage, HealthCheckResult, QueueInfo
from eventsource.bus.serializing import EventSerializer
from eventsource.bus.stopping import Stop
from eventsource.events.base import DomainEvent
from eventsource.events.checks import check_events
from eventsource.events.registry import EventRegistry
from eventsource.headers import check_headers
from eventsource.retry import ExponentialBackoffRetryPolicy
from eventsource.types import Headers

if TYPE_CHECKING:
    from eventsource.bus.rabbitmq.connection import Line
    from eventsource.bus.rabbitmq.messages import Outgoing

RABBITMQ_AVAILABLE = find_spec("aio_pika") is not None
"""Whether the driver is installed."""


class RabbitMQEventBus(BrokerEventBus):
    """
    Publishes events to an exchange of RabbitMQ, and handles those in the queue of its consumer group.

    It publishes without being connected before: it connects by itself. Events of one aggregate are handled in their
    order, as long as the queue has one active consumer.

    Args:
        config: Where the broker is, and all the rest.
        event_registry: Which class stands for which event type; the default registry if not given.
        serializer: Writes and reads the bodies of messages.

    Raises:
        RabbitMQNotAvailableError: If aio-pika is not installed.
    """

    system: ClassVar[str] = "rabbitmq"
    concurrent_publications: ClassVar[int] = 100

    _stats: RabbitMQEventBusStats

    get_death_count = staticmethod(deaths.get_death_count)
    get_first_death_queue = staticmethod(deaths.get_first_death_queue)
    get_first_death_reason = staticmethod(deaths.get_first_death_reason)
    get_first_death_exchange = staticmethod(deaths.get_first_death_exchange)
    get_original_routing_key = staticmethod(deaths.get_original_routing_key)
    is_from_dlq = staticmethod(deaths.is_from_dlq)
    get_death_info = staticmethod(deaths.get_death_info)

    def __init__(
        self,
        config: RabbitMQEventBusConfig | None = None,
        event_registry: EventRegistry | None = None,
        *,
        serializer: EventSerializer | None = None,
    ) -> None:
        if not RABBITMQ_AVAILABLE:
            raise RabbitMQNotAvailableError
        self._config = config = config or RabbitMQEventBusConfig()
        super().__init__(
            stats=RabbitMQEventBusStats(),
            serializer=serializer or EventSerializer(event_registry),
            policy=ExponentialBackoffRetryPolicy(config.retrying),
            enable_dlq=config.enable_dlq,
            shutdown_timeout=config.shutdown_timeout,
            consumer=f"rabbitmq-consumer-{config.consumer_name}",
            reconnecting=config.reconnecting,
        )
        self.enable_tracing = config.enable_tracing
        self.enable_metrics = config.enable_metrics
        self.server = config.server
        self.consumer_group = config.consumer_group
        self._routing_keys: dict[str, None] = {}
        self._line: Line | None = None
        """The connection to consume with."""
        self._attach_driver()

    @property
    def config(self) -> RabbitMQEventBusConfig:
        """How the bus is set up."""
        return self._config

    @property
    def stats(self) -> RabbitMQEventBusStats:
        """What is counted; it goes on."""
        return self._stats

    @property
    def is_connected(self) -> bool:
        """Whether the connection to publish with is open."""
        return self._publishing_line.is_open

    @property
    def is_shutdown(self) -> bool:
        """Whether the bus was shut down."""
        return self._is_shut_down

    @property
    def uptime_seconds(self) -> float:
        """How long ago `connect` has connected it; 0 while it is not connected."""
        if self._stats.connected_at is None or not self.is_connected:
            return 0.0
        return (datetime.now(UTC) - self._stats.connected_at).total_seconds()

    def get_stats(self) -> RabbitMQEventBusStats:
        """Return a copy of what was counted so far."""
        return replace(self._stats)

    def get_stats_dict(self) -> dict[str, Any]:
        """Return by name what was counted so far, and how the bus is."""
        return {
            **super().get_stats_dict(),
            "is_connected": self.is_connected,
            "is_consuming": self.is_consuming,
            "uptime_seconds": self.uptime_seconds,
        }

    def reset_stats(self) -> None:
        """Begin to count anew; when it was connected stays known."""
        for field in fields(self._stats):
            if field.name != "connected_at":
                setattr(self._stats, field.name, field.default)
        self._logger.info("Statistics reset")

    def address_of(self, event: DomainEvent) -> Address:
        """Return the exchange that *event* goes to, and with which routing key."""
        return Address(self._config.exchange_name, routing_key=self._writer.routing_key_of(event))

    async def publish_batch(
        self, events: Sequence[DomainEvent], preserve_order: bool = False, *, headers: Headers | None = None
    ) -> dict[str, int]:
        """
        Publish as many of *events* as possible, and return the numbers: total, published, failed, and chunks.

        Args:
            events: In no particular order.
            preserve_order: Whether to publish them one after the other instead of several at the same time.
            headers: Travel with each of the events.

        Raises:
            BatchPublishError: If some could not be published; it says how many, and why.
            NotConnectedError: If the bus was shut down.
        """
        self._check_open()
        events = check_events(events)
        if not events:
            return {"total": 0, "published": 0, "failed": 0, "chunks": 0}
        hook = self._publish_in_order if preserve_order else self._publish_at_once
        return await self._perform(hook, Publish(events, background=False, headers=check_headers(headers)))

    async def bind_event_type(self, event_type: type[DomainEvent]) -> None:
        """
        Have events of this class go to the queue of the group, which is declared if it is not there.

        Raises:
            NotConnectedError: If the bus is not connected.
            ValueError: If the class does not tell its aggregate type.
        """
        for routing_key in routing_keys_of(event_type, self._serializer.registry):
            await self.bind_routing_key(routing_key)

    async def bind_routing_key(self, routing_key: str) -> None:
        """
        Have what is published with *routing_key* go to the queue of the group, which is declared if it is not there.

        Raises:
            EventBusError: If the broker refuses.
            NotConnectedError: If the bus is not connected.
        """
        await self._declare_queue({**self._routing_keys, routing_key: None})
        self._routing_keys[routing_key] = None

    async def get_queue_info(self) -> QueueInfo:
        """Return how the queue of the group is; an error is told, not raised."""
        return await self._examination.queue_info()

    async def health_check(self) -> HealthCheckResult:
        """Return whether the bus can do its work; an error is told, not raised."""
        return await self._examination.health(is_consuming=self.is_consuming)

    async def get_dlq_messages(self, limit: int = 100) -> list[DLQMessage]:
        """
        Return the oldest dead letters, *limit* at most; they stay where they are.

        Raises:
            EventBusError: If the broker does not answer, or refuses.
            NotConnectedError: If the bus is not connected.
        """
        return await self._dead_letters.read(limit) if self._enable_dlq else []

    async def get_dlq_message_count(self) -> int:
        """
        Return how many dead letters there are.

        Raises:
            EventBusError: If the broker does not answer, or refuses.
            NotConnectedError: If the bus is not connected.
        """
        return await self._dead_letters.count() if self._enable_dlq else 0

    async def replay_dlq_message(self, message_id: str) -> bool:
        """
        Have the group, and no other one, handle a dead letter again, and return whether there is one of that id.

        Raises:
            EventBusError: If the broker does not answer, or the group has no queue.
            NotConnectedError: If the bus is not connected.
        """
        if not (self._enable_dlq and await self._dead_letters.replay(str(message_id))):
            return False
        self._logger.info("DLQ message replayed", extra={"message_id": message_id, "queue": self._config.queue_name})
        return True

    async def purge_dlq(self) -> int:
        """
        Delete all dead letters, and return how many there were.

        Raises:
            EventBusError: If the broker does not answer, or refuses.
            NotConnectedError: If the bus is not connected.
        """
        return await self._dead_letters.purge() if self._enable_dlq else 0

    async def shutdown(self, timeout: float | None = None) -> None:
        """
        Finish what is being published and handled, for *timeout* seconds at most, and disconnect for good.

        Nothing more is accepted. A handler that shuts its own bus down does not wait for itself; it is seen to its end.
        """
        began = monotonic()
        is_first = not self._is_shut_down
        if is_first:
            seconds = self._shutdown_timeout if timeout is None else timeout
            self._logger.info("Initiating graceful shutdown (timeout=%.1f s)", seconds)
        await super().shutdown(timeout)
        if is_first:
            self._logger.info("Graceful shutdown completed in %.2f s", monotonic() - began)

    async def _connect(self) -> None:
        await self._publishing_line.open()
        self._logger.info(
            "Connected to RabbitMQ (%s) and initialized topology",
            "TLS" if self._config.uses_tls else "plaintext",
            extra={"url": self._config.masked_url, "exchange": self._config.exchange_name},
        )

    async def _disconnect(self) -> None:
        closing = self._publishing_line.close(for_good=self._is_shut_down)
        await asyncio.gather(closing, *([self._line.close()] if self._line else []))

    def _message_of(self, event: DomainEvent, headers: Headers | None) -> "Outgoing":
        return self._writer.message_of(event, headers)

    async def _send(self, messages: "Sequence[Outgoing]") -> None:
        await self._publisher.send(messages)

    async def _keep(self, dead_letter: DeadLetter) -> None:
        await self._dead_letters.keep(dead_letter)

    async def _run_session(self, stop: Stop) -> None:
        from eventsource.bus.rabbitmq.connection import open_line
        from eventsource.bus.rabbitmq.consuming import Session

        self._line = await stop.unless(open_line(self._config, "consuming"))
        if self._line is None:
            return
        try:
            if self._publishing_line.is_wanted:
                await stop.unless(self._publishing_line.reopen())
            session = Session(self._config, self._line, self._attempt, self._bury)
            await session.run(self._policy, tuple(self._routing_keys), stop, self._note_delivering)
        finally:
            await self._line.close()
            self._line = None

    async def _publish_in_order(self, publish: Publish) -> dict[str, int]:
        with self._publishing():
            batch = self._batch_of(publish)
            await batch.publish_in_order()
        return self._concluded(batch)

    async def _publish_at_once(self, publish: Publish) -> dict[str, int]:
        with self._publishing():
            batch = self._batch_of(publish)
            await batch.publish_at_once(self._config.max_concurrent_publishes, self._config.batch_size)
        return self._concluded(batch)

    def _batch_of(self, publish: Publish) -> Batch:
        send = partial(self._publisher.send, since=self._publishing_line.times_closed)
        return Batch(send, [self._message_of(event, publish.headers) for event in publish.events])

    def _concluded(self, batch: Batch) -> dict[str, int]:
        published = batch.results["published"]
        self._stats.batch_publishes += 1
        self._stats.batch_events_published += published
        if published:
            self._stats.note_published(published)
        if batch.errors:
            self._stats.note_publish_error()
            self._stats.batch_partial_failures += bool(published)
        batch.check()
        return batch.results

    async def _declare_queue(self, routing_keys: Iterable[str]) -> None:
        from eventsource.bus.rabbitmq.topology import declare_queue

        async with self._publishing_line.channel() as channel:
            await declare_queue(channel, self._config, routing_keys)

    def _attach_driver(self) -> None:
        """Make what needs the driver, which is imported here and not before."""
        from eventsource.bus.rabbitmq.dead_letters import DeadLetterQueue
        from eventsource.bus.rabbitmq.health import Examination
        from eventsource.bus.rabbitmq.lasting import LastingLine
        from eventsource.bus.rabbitmq.messages import Writer
        from eventsource.bus.rabbitmq.publishing import Publisher

        config = self._config
        self._writer = Writer(self._serializer, config.exchange_name, config.mandatory)
        self._publishing_line = LastingLine(config, self._stats)
        self._publisher = Publisher(config, self._publishing_line)
        self._dead_letters = DeadLetterQueue(config, self._publishing_line, self._publisher)
        self._examination = Examination(config, self._publishing_line)
