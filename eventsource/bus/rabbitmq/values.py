"""What a bus over RabbitMQ tells about its queues."""

from dataclasses import dataclass
from typing import Any


@dataclass(slots=True)
class DLQMessage:
    """A dead letter; ``body`` is JSON, ``dlq_timestamp`` ISO 8601, and what is not known of it None."""

    message_id: str | None
    routing_key: str | None
    body: str
    headers: dict[str, Any]
    event_type: str | None = None
    dlq_reason: str | None = None
    dlq_error_type: str | None = None
    dlq_retry_count: int | None = None
    dlq_timestamp: str | None = None
    original_routing_key: str | None = None


@dataclass(slots=True)
class QueueInfo:
    """How the queue of a consumer group is; ``state`` is ``running`` if it has a consumer, ``idle``, or ``error``."""

    name: str
    message_count: int
    consumer_count: int
    state: str = "running"
    error: str | None = None


@dataclass(slots=True)
class HealthCheckResult:
    """Whether a bus can do its work, and if not, what is in the way."""

    healthy: bool
    connection_status: str
    channel_status: str
    queue_status: str
    dlq_status: str | None = None
    error: str | None = None
    details: dict[str, Any] | None = None
