"""What a bus over a broker counts."""

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any


@dataclass(slots=True)
class BrokerStats:
    """
    Counts since the bus was made or they were reset, and when something last happened, in UTC.

    ``events_consumed`` are messages that were delivered, each once, whatever became of them;
    ``events_processed_failed`` those that no attempt has handled; ``handler_errors`` failed attempts.
    """

    events_published: int = 0
    events_consumed: int = 0
    events_processed_success: int = 0
    events_processed_failed: int = 0
    messages_sent_to_dlq: int = 0
    handler_errors: int = 0
    publish_errors: int = 0
    connection_errors: int = 0
    reconnections: int = 0
    last_publish_at: datetime | None = None
    last_consume_at: datetime | None = None
    last_error_at: datetime | None = None
    connected_at: datetime | None = None

    @property
    def settled(self) -> int:
        """How many messages were brought to an end, one way or the other."""
        return self.events_processed_success + self.events_processed_failed + self.messages_sent_to_dlq

    def as_dict(self) -> dict[str, Any]:
        """Return everything by name, times as ISO 8601 text."""
        return {
            name: value.isoformat() if isinstance(value, datetime) else value for name, value in asdict(self).items()
        }

    def note_published(self, events: int) -> None:
        """Count events that the broker has confirmed."""
        self.events_published += events
        self.last_publish_at = datetime.now(UTC)

    def note_publish_error(self) -> None:
        """Count a publication that failed."""
        self.publish_errors += 1
        self.last_error_at = datetime.now(UTC)

    def note_consumed(self) -> None:
        """Count a message that was delivered."""
        self.events_consumed += 1
        self.last_consume_at = datetime.now(UTC)

    def note_handler_error(self) -> None:
        """Count an attempt that failed."""
        self.handler_errors += 1
        self.last_error_at = datetime.now(UTC)

    def note_dead_letter(self) -> None:
        """Count a message that was kept as a dead letter."""
        self.messages_sent_to_dlq += 1

    def note_connection_error(self) -> None:
        """Count a connection that could not be made or was lost."""
        self.connection_errors += 1
        self.last_error_at = datetime.now(UTC)
