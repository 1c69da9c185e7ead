"""How far a projection is behind the log."""

from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(frozen=True, slots=True)
class Lag:
    """
    Where the log ended and where the checkpoint was when they were last looked at.

    ``oldest_at`` is when the oldest event was stored that the projection has not handled, None if there is none.
    """

    head: int
    checkpoint: int
    oldest_at: datetime | None = None

    @property
    def events(self) -> int:
        """How many events there are to handle at most: positions after the checkpoint, which may have gaps."""
        return 0 if self.oldest_at is None else max(0, self.head - self.checkpoint)

    @property
    def seconds(self) -> float:
        """How old the oldest of them is by now."""
        return 0.0 if self.oldest_at is None else max(0.0, (datetime.now(UTC) - self.oldest_at).total_seconds())
