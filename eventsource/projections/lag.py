"""How far a projection is behind the log."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime


@dataclass(frozen=True, slots=True)
class Lag:
    """
    Where the log ended when that was last looked at, and up to where the projection has come.

    ``checkpoint`` is what was saved, or handled by the runner that is asked. ``oldest_at`` is when the oldest event was
    stored that the projection has not handled, None if there is none.
    """

    head: int
    checkpoint: int
    oldest_at: datetime | None = None

    def at(self, position: int) -> "Lag":
        """Return what is left of it for a projection that has handled everything up to *position* by now."""
        oldest_at = None if position >= self.head else self.oldest_at
        return replace(self, checkpoint=max(self.checkpoint, position), oldest_at=oldest_at)

    @property
    def events(self) -> int:
        """How many events there are to handle at most: positions after the checkpoint, which may have gaps."""
        return 0 if self.oldest_at is None else max(0, self.head - self.checkpoint)

    @property
    def seconds(self) -> float:
        """How old the oldest of them is by now."""
        return 0.0 if self.oldest_at is None else max(0.0, (datetime.now(UTC) - self.oldest_at).total_seconds())
