"""How a bus over RabbitMQ is set up."""

import socket
from dataclasses import dataclass, fields
from ssl import SSLContext
from typing import Any, Literal, get_args
from uuid import uuid4

from eventsource.bus.messages import Server
from eventsource.bus.rabbitmq.addresses import check_url, masked, server_of
from eventsource.retry import RetryConfig

QueueType = Literal["classic", "quorum"]
ExchangeType = Literal["topic", "direct", "fanout", "headers"]

_MOST_UNSETTLED = 65535
_LONGEST_NAME = 255
_SECRETS = ("ssl_options", "ssl_context", "key_file")


@dataclass(repr=False)
class RabbitMQEventBusConfig:
    """
    Where the broker is, what is declared there, and how patient the bus is; times in seconds.

    Args:
        rabbitmq_url: ``amqp://user:password@host:port/virtual_host``, or ``amqps://`` for TLS.
        exchange_name: The exchange that events are published to.
        exchange_type: ``topic``, ``direct``, ``fanout`` or ``headers``.
        consumer_group: Buses of one group share the queue ``<exchange_name>.<consumer_group>``.
        consumer_name: How this one is called in logs and by the broker; a name of its own if not given.
        prefetch_count: How many messages may be delivered and not settled; with *single_active_consumer*, *max_parked*
            more.
        max_retries: How often a message that failed is tried again, in its place.
        enable_dlq: Whether messages that failed for good are kept in a queue of dead letters.
        dlq_exchange_suffix: What is added to the name of the exchange for that of dead letters.
        dlq_message_ttl: Milliseconds after which the broker drops a dead letter.
        dlq_max_length: How many dead letters the broker keeps, the latest ones.
        durable: Whether exchanges and queues survive a restart of the broker.
        auto_delete: Whether exchanges and queues are deleted when nobody uses them any more.
        reconnect_delay: How long to wait before connecting again; it doubles with each failure to consume.
        max_reconnect_delay: The longest that it becomes.
        heartbeat: How often each side shows that it is there; a connection is lost after about three times as long.
        enable_tracing: Whether whoever traces should trace this bus.
        ssl_options: More keyword arguments for ``aio_pika.connect``.
        ssl_context: Is used as it is, whatever the files say.
        verify_ssl: Whether the broker's certificate is verified.
        ca_file: Whom to trust, instead of whom the system trusts.
        cert_file: The client's certificate; only together with *key_file*.
        key_file: Its key.
        retry_base_delay: How long to wait before a message is tried again; it doubles with each attempt.
        retry_max_delay: The longest that it becomes.
        retry_jitter: The share of it that is left to chance.
        shutdown_timeout: How long handlers and publications may take to finish.
        routing_key_pattern: What the queue is bound with; `get_effective_routing_key` tells the default.
        batch_size: How many messages are sent before their confirmation is awaited.
        max_concurrent_publishes: How many events `publish_batch` sends at the same time.
        queue_type: ``classic``, or ``quorum`` to have replicas on the nodes of a cluster. With *enable_dlq*, what came
            back to a quorum queue more than 20 times becomes a dead letter; a classic one delivers for ever what ends
            the connection or the process each time.
        single_active_consumer: Whether one bus of the group consumes at a time, which keeps the order per aggregate;
            else they compete, without that promise.
        max_concurrency: How many messages are handled at the same time.
        max_parked: How many messages may wait, besides, behind one of an aggregate that fills half of *prefetch_count*,
            so that others are handled meanwhile; whether it fails or takes long. Choose fewer where handlers are slow:
            the broker's ``consumer_timeout`` counts from the delivery.
        mandatory: Whether it is an error to publish an event for which there is no queue.
        connect_timeout: How long connecting may take, or any other request.
        publish_timeout: How long the broker has to confirm messages, a lost connection included.
        ack_timeout: How long it may take to acknowledge a message.
        enable_metrics: Whether whoever measures should measure this bus.

    Raises:
        TypeError: If a value is of the wrong kind.
        ValueError: If one makes no sense.
    """

    rabbitmq_url: str = "amqp://guest:guest@localhost:5672/"
    exchange_name: str = "events"
    exchange_type: str = "topic"
    consumer_group: str = "default"
    consumer_name: str | None = None
    prefetch_count: int = 10
    max_retries: int = 3
    enable_dlq: bool = True
    dlq_exchange_suffix: str = "_dlq"
    dlq_message_ttl: int | None = None
    dlq_max_length: int | None = None
    durable: bool = True
    auto_delete: bool = False
    reconnect_delay: float = 1.0
    max_reconnect_delay: float = 60.0
    heartbeat: int = 60
    enable_tracing: bool = True
    ssl_options: dict[str, Any] | None = None
    ssl_context: SSLContext | None = None
    verify_ssl: bool = True
    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    retry_base_delay: float = 1.0
    retry_max_delay: float = 60.0
    retry_jitter: float = 0.1
    shutdown_timeout: float = 30.0
    routing_key_pattern: str | None = None
    batch_size: int = 100
    max_concurrent_publishes: int = 10
    queue_type: str = "classic"
    single_active_consumer: bool = True
    max_concurrency: int = 10
    max_parked: int = 200
    mandatory: bool = True
    connect_timeout: float = 10.0
    publish_timeout: float = 10.0
    ack_timeout: float = 5.0
    enable_metrics: bool = True

    def __post_init__(self) -> None:
        if self.consumer_name is None:
            self.consumer_name = f"{socket.gethostname()}-{uuid4().hex[:8]}"
        for name in ("rabbitmq_url", "exchange_name", "exchange_type", "consumer_group", "consumer_name", "queue_type"):
            self._check_text(name)
        check_url(self.rabbitmq_url)
        self.exchange_type = self._one_of("exchange_type", get_args(ExchangeType))
        self.queue_type = self._one_of("queue_type", get_args(QueueType))
        self._check_counts()
        self._check_times()
        self._check_names()
        if self.queue_type == "quorum" and not (self.durable and not self.auto_delete):
            raise ValueError("a quorum queue is always durable: leave durable=True and auto_delete=False")

    def __repr__(self) -> str:
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        values |= {name: "***" for name in _SECRETS if values[name] is not None}
        values["rabbitmq_url"] = self.masked_url
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in values.items())})"

    @property
    def queue_name(self) -> str:
        """The queue of the consumer group."""
        return f"{self.exchange_name}.{self.consumer_group}"

    @property
    def dlq_exchange_name(self) -> str:
        """The exchange of dead letters."""
        return f"{self.exchange_name}{self.dlq_exchange_suffix}"

    @property
    def dlq_queue_name(self) -> str:
        """The queue of the group's dead letters."""
        return f"{self.queue_name}.dlq"

    @property
    def masked_url(self) -> str:
        """The address without user and password."""
        return masked(self.rabbitmq_url)

    @property
    def server(self) -> Server:
        """Host and port of the broker."""
        return server_of(self.rabbitmq_url, self.uses_tls)

    @property
    def uses_tls(self) -> bool:
        """Whether the connection is encrypted."""
        return self.rabbitmq_url.lower().startswith("amqps:") or any((self.ssl_context, self.ca_file, self.cert_file))

    @property
    def parking(self) -> int:
        """How many messages may wait in their lanes besides the prefetch; none where consumers compete."""
        return self.max_parked if self.single_active_consumer else 0

    @property
    def retrying(self) -> RetryConfig:
        """When a message that failed is tried again."""
        return RetryConfig(
            max_retries=self.max_retries,
            initial_delay=self.retry_base_delay,
            max_delay=self.retry_max_delay,
            jitter=self.retry_jitter,
        )

    @property
    def reconnecting(self) -> RetryConfig:
        """When a consumer that lost its connection connects again."""
        return RetryConfig(initial_delay=self.reconnect_delay, max_delay=self.max_reconnect_delay, jitter=0.1)

    def get_effective_routing_key(self) -> str:
        """
        Return what the queue is bound with: *routing_key_pattern*, or what fits the type of the exchange.

        Each event goes to a ``topic`` exchange's queue, and none to that of a ``direct`` one: bind event types there.
        """
        if self.routing_key_pattern is not None:
            return self.routing_key_pattern
        return {"topic": "#", "direct": self.queue_name}.get(self.exchange_type, "")

    def _check_text(self, name: str) -> None:
        value = getattr(self, name)
        if not isinstance(value, str):
            raise TypeError(f"{name} must be a string, not {type(value).__name__}")
        if not value:
            raise ValueError(f"{name} must not be empty")

    def _one_of(self, name: str, choices: tuple[str, ...]) -> str:
        value: str = getattr(self, name).lower()
        if value not in choices:
            raise ValueError(f"{name} must be one of {', '.join(choices)}, not {value!r}")
        return value

    def _check_counts(self) -> None:
        for name in ("prefetch_count", "batch_size", "max_concurrent_publishes", "max_concurrency", "heartbeat"):
            self._check_count(name, at_least=1)
        for name in ("max_retries", "max_parked"):
            self._check_count(name, at_least=0)
        for name in ("dlq_message_ttl", "dlq_max_length"):
            if getattr(self, name) is not None:
                self._check_count(name, at_least=0)
        if self.prefetch_count + self.parking > _MOST_UNSETTLED:
            raise ValueError(f"prefetch_count and max_parked must not be above {_MOST_UNSETTLED} together")
        if self.heartbeat >= _MOST_UNSETTLED:
            raise ValueError(f"heartbeat must be below {_MOST_UNSETTLED}, not {self.heartbeat}")

    def _check_count(self, name: str, at_least: int) -> None:
        value = getattr(self, name)
        if not isinstance(value, int) or isinstance(value, bool):
            raise TypeError(f"{name} must be a whole number, not {value!r}")
        if value < at_least:
            raise ValueError(f"{name} must be {at_least} or more, not {value}")

    def _check_times(self) -> None:
        for name in ("connect_timeout", "publish_timeout", "ack_timeout"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive, not {getattr(self, name)}")
        if not self.shutdown_timeout >= 0:
            raise ValueError(f"shutdown_timeout must be 0 or more, not {self.shutdown_timeout}")
        for prefix, delays in (("retry", "retrying"), ("reconnect", "reconnecting")):
            try:
                getattr(self, delays)
            except ValueError as error:
                raise ValueError(f"the {prefix} delays make no sense: {error}") from error

    def _check_names(self) -> None:
        if not self.dlq_exchange_suffix:
            raise ValueError("dlq_exchange_suffix must not be empty: dead letters need an exchange of their own")
        names = (
            self.dlq_exchange_name,
            self.dlq_queue_name,
            self.get_effective_routing_key(),
            self.consumer_name or "",
        )
        for name in names:
            if len(name.encode()) > _LONGEST_NAME:
                raise ValueError(f"the broker takes names of {_LONGEST_NAME} bytes at most, not {name!r}")
