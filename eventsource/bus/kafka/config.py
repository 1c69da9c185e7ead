"""How a bus over Kafka is set up."""

import socket
import uuid
from dataclasses import dataclass, field
from typing import Any, Literal

from eventsource.bus.kafka.security import Security
from eventsource.retry import ExponentialBackoffRetryPolicy, RetryConfig, RetryPolicy


@dataclass
class KafkaEventBusConfig:
    """
    How to reach the brokers, what to publish to and consume from, and what to do with messages that fail.

    Args:
        bootstrap_servers: Brokers to begin with, ``host:port``, separated by commas.
        topic_prefix: The topic is called ``<prefix>.stream``.
        consumer_group: Who shares the work: each message goes to one of them. The name is known to the whole cluster,
            and members of one group disturb each other whatever they consume: give each service its own.
        consumer_name: The client's id; host name and a random part if not given.
        acks: ``"all"`` (then the producer is idempotent: KIP-98), 1 or 0.
        compression_type: None, ``gzip``, or ``snappy``, ``lz4``, ``zstd`` with the libraries that aiokafka wants.
        batch_size: How many bytes the producer sends at once to a partition, at most.
        linger_ms: How long it waits for them.
        max_request_size: The largest message in bytes; at most what the topic takes (``max.message.bytes``).
        auto_offset_reset: Where a new group begins: ``earliest`` or ``latest``.
        session_timeout_ms: After how long a member counts as dead that does not answer.
        heartbeat_interval_ms: How often it does.
        max_poll_interval_ms: After how long one counts as dead that does not fetch.
        rebalance_timeout_ms: How long a member has to finish its handlers when partitions go to another.
        max_concurrency: How many messages are handled at the same time.
        max_in_flight: How many may be unsettled.
        max_offset_span: How far a partition is read beyond its first unsettled message.
        max_retries: How often a message is tried again.
        retry_base_delay: Seconds before the first time; twice as many before each other one.
        retry_max_delay: Seconds at most.
        retry_jitter: By which part of it the delay varies.
        enable_dlq: Whether what fails is kept as a dead letter; it is dropped with a warning otherwise.
        dlq_topic_suffix: The topic of dead letters is ``<topic><suffix>``.
        dlq_consumer_group: The group whose place is kept by ``get_dlq_messages(use_consumer_group=True)``.
        dlq_max_replay_attempts: How often a dead letter is replayed.
        security_protocol: ``PLAINTEXT``, ``SSL``, ``SASL_PLAINTEXT`` or ``SASL_SSL``.
        sasl_mechanism: ``PLAIN``, ``SCRAM-SHA-256`` or ``SCRAM-SHA-512``.
        sasl_username: Who connects.
        sasl_password: The password.
        ssl_cafile: Who is trusted to vouch for the brokers; the system's authorities if not given.
        ssl_certfile: The client's certificate.
        ssl_keyfile: Its key.
        ssl_check_hostname: Whether the brokers' certificates are checked at all.
        connect_timeout: Seconds after which connecting has failed.
        publish_timeout: Seconds after which publishing has failed that is not confirmed.
        shutdown_timeout: Seconds that handlers and publications have when the bus is shut down.
        lag_interval: Seconds from one look at the lag to the next.
        enable_tracing: Whether whoever traces should trace this bus.
        enable_metrics: Whether whoever measures should measure it.

    Raises:
        ValueError: If a value makes no sense.
    """

    bootstrap_servers: str = "localhost:9092"
    topic_prefix: str = "events"
    consumer_group: str = "default"
    consumer_name: str | None = None
    acks: Literal["all", 0, 1] = "all"
    compression_type: str | None = "gzip"
    batch_size: int = 16384
    linger_ms: int = 5
    max_request_size: int = 1_048_576
    auto_offset_reset: str = "earliest"
    session_timeout_ms: int = 30000
    heartbeat_interval_ms: int = 10000
    max_poll_interval_ms: int = 300000
    rebalance_timeout_ms: int = 30000
    max_concurrency: int = 100
    max_in_flight: int = 200
    max_offset_span: int = 1000
    max_retries: int = 3
    retry_base_delay: float = 1.0
    retry_max_delay: float = 60.0
    retry_jitter: float = 0.1
    enable_dlq: bool = True
    dlq_topic_suffix: str = ".dlq"
    dlq_consumer_group: str | None = None
    dlq_max_replay_attempts: int = 3
    security_protocol: str = "PLAINTEXT"
    sasl_mechanism: str | None = None
    sasl_username: str | None = None
    sasl_password: str | None = field(default=None, repr=False)
    ssl_cafile: str | None = None
    ssl_certfile: str | None = None
    ssl_keyfile: str | None = field(default=None, repr=False)
    ssl_check_hostname: bool = True
    connect_timeout: float = 10.0
    publish_timeout: float = 10.0
    shutdown_timeout: float = 30.0
    lag_interval: float = 1.0
    enable_tracing: bool = True
    enable_metrics: bool = True

    def __post_init__(self) -> None:
        if self.consumer_name is None:
            self.consumer_name = f"{socket.gethostname()}-{uuid.uuid4().hex[:8]}"
        for name in ("bootstrap_servers", "topic_prefix", "consumer_group"):
            _require(bool(getattr(self, name)), f"{name} must not be empty")
        _one_of("acks", self.acks, ("all", 0, 1))
        _one_of("compression_type", self.compression_type, (None, "gzip", "snappy", "lz4", "zstd"))
        _one_of("auto_offset_reset", self.auto_offset_reset, ("earliest", "latest"))
        for name in _POSITIVE:
            _require(getattr(self, name) > 0, f"{name} must be positive, not {getattr(self, name)!r}")
        for name in ("linger_ms", "dlq_max_replay_attempts"):
            _require(getattr(self, name) >= 0, f"{name} must be 0 or more, not {getattr(self, name)!r}")
        _require(
            self.heartbeat_interval_ms < self.session_timeout_ms,
            f"heartbeat_interval_ms ({self.heartbeat_interval_ms}) must be less than "
            f"session_timeout_ms ({self.session_timeout_ms})",
        )
        _require(bool(self.dlq_topic_suffix), "dlq_topic_suffix must not be empty: dead letters need their own topic")
        self._retrying()
        self.security.check()

    @property
    def topic_name(self) -> str:
        """The topic that events are published to."""
        return f"{self.topic_prefix}.stream"

    @property
    def dlq_topic_name(self) -> str:
        """The topic that dead letters are kept in."""
        return f"{self.topic_name}{self.dlq_topic_suffix}"

    @property
    def security(self) -> Security:
        """How connections are secured."""
        return Security(
            self.security_protocol,
            self.sasl_mechanism,
            self.sasl_username,
            self.sasl_password,
            self.ssl_cafile,
            self.ssl_certfile,
            self.ssl_keyfile,
            self.ssl_check_hostname,
        )

    @property
    def retry_policy(self) -> RetryPolicy:
        """When a message that has failed is tried again."""
        return ExponentialBackoffRetryPolicy(self._retrying())

    @property
    def producer_settings(self) -> dict[str, Any]:
        """The settings of the producer, without those of its connections."""
        return {
            "acks": self.acks,
            "compression_type": self.compression_type,
            "max_batch_size": self.batch_size,
            "linger_ms": self.linger_ms,
            "max_request_size": self.max_request_size,
            "enable_idempotence": self.acks == "all",
        }

    @property
    def consumer_settings(self) -> dict[str, Any]:
        """The settings of the consumer, without those of its connections."""
        return {
            "group_id": self.consumer_group,
            "client_id": self.consumer_name,
            "auto_offset_reset": self.auto_offset_reset,
            "session_timeout_ms": self.session_timeout_ms,
            "heartbeat_interval_ms": self.heartbeat_interval_ms,
            "max_poll_interval_ms": self.max_poll_interval_ms,
            "rebalance_timeout_ms": self.rebalance_timeout_ms,
            "enable_auto_commit": False,
        }

    def create_ssl_context(self) -> Any:
        """Return the TLS context (`ssl.SSLContext`) that connections are made with; None without TLS."""
        return self.security.ssl_context()

    def get_producer_config(self) -> dict[str, Any]:
        """Return the settings of the producer by the names that Kafka's clients give them."""
        return {"bootstrap_servers": self.bootstrap_servers, **self.producer_settings, **self.security.settings()}

    def get_consumer_config(self) -> dict[str, Any]:
        """Return the settings of the consumer by the names that Kafka's clients give them."""
        return {"bootstrap_servers": self.bootstrap_servers, **self.consumer_settings, **self.security.settings()}

    def get_sanitized_config(self) -> dict[str, Any]:
        """Return what may be logged: no password, no place of a key."""
        shown = ("topic_prefix", "consumer_name", "topic_name", "dlq_topic_name", "compression_type")
        values = {name: getattr(self, name) for name in shown} | self.get_consumer_config()
        values |= {"sasl_password": values.pop("sasl_plain_password", self.sasl_password)}
        values |= {"ssl_keyfile": self.ssl_keyfile}
        secrets = ("sasl_password", "ssl_keyfile")
        return {name: "***" if name in secrets and value is not None else value for name, value in values.items()}

    def _retrying(self) -> RetryConfig:
        return RetryConfig(
            max_retries=self.max_retries,
            initial_delay=self.retry_base_delay,
            max_delay=self.retry_max_delay,
            jitter=self.retry_jitter,
        )


_POSITIVE = (
    "batch_size",
    "max_request_size",
    "session_timeout_ms",
    "heartbeat_interval_ms",
    "max_poll_interval_ms",
    "rebalance_timeout_ms",
    "max_concurrency",
    "max_in_flight",
    "max_offset_span",
    "connect_timeout",
    "publish_timeout",
    "shutdown_timeout",
    "lag_interval",
)


def _one_of(name: str, value: object, allowed: tuple[object, ...]) -> None:
    _require(value in allowed, f"{name} must be one of {', '.join(map(repr, allowed))}, not {value!r}")


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)
