"""Where a projection stands in the log while it is run, and how much of that is saved."""

import time
from collections.abc import Callable

from eventsource.projections.checkpoints.interface import CheckpointRepository
from eventsource.projections.halt import Halt
from eventsource.stores.values import StoredEvent


class Cursor:
    """
    The position up to which everything is handled, which becomes the checkpoint every so often.

    Args:
        checkpoints: Where it is saved.
        projection_name: Whose position it is.
        owner: Who has the lease.
        position: Where the checkpoint is.
        replay_until: Up to here everything was handled before.
        halt: Whether to go on.
        every: Save it after so many events.
        interval: Or after so many seconds.
        on_move: Called with the position each time that it has moved, and again when that is saved.
    """

    def __init__(
        self,
        checkpoints: CheckpointRepository,
        projection_name: str,
        owner: str,
        position: int,
        replay_until: int | None,
        halt: Halt,
        *,
        every: int,
        interval: float,
        on_move: Callable[[int], None],
    ) -> None:
        self._checkpoints = checkpoints
        self._name = projection_name
        self.owner = owner
        self.position = position
        self.saved = position
        self._replay_until = replay_until
        self.halt = halt
        self._every = every
        self._interval = interval
        self._on_move = on_move
        self._last: StoredEvent | None = None
        self._count = 0
        self._moved_at = 0.0

    @property
    def replay_until(self) -> int | None:
        """Up to where everything was handled before, as long as that lies ahead."""
        ahead = self._replay_until is not None and self.position < self._replay_until
        return self._replay_until if ahead else None

    @property
    def seconds_until_due(self) -> float | None:
        """How long the checkpoint may wait to be saved, None if there is nothing to save."""
        if self.saved == self.position:
            return None
        return max(0.0, self._moved_at + self._interval - time.monotonic())

    async def handled(self, stored: StoredEvent) -> None:
        """Note that *stored* was handled, and save the checkpoint if that is due."""
        self._count += 1
        self._last = stored
        self._move_to(stored.global_position)
        await self.save_if_due()

    def skip_to(self, position: int) -> None:
        """Note that there is nothing to handle up to *position*."""
        if position > self.position:
            self._move_to(position)

    def committed(self, position: int) -> None:
        """Note that everything up to *position* is handled and saved already."""
        self.position = self.saved = position
        self._on_move(position)

    async def save_if_due(self) -> None:
        """Save the checkpoint after so many events or seconds."""
        if self._count >= self._every or self.seconds_until_due == 0.0:
            await self.save()

    async def save(self) -> None:
        """
        Save the checkpoint, if there is anything to save.

        Raises:
            CheckpointConflictError: If somebody else has moved it, or has the lease.
        """
        if self.saved == self.position:
            return
        position, last = self.position, self._last
        await self._checkpoints.save_position(
            self._name,
            position,
            last.event_id if last else None,
            last.event_type if last else None,
            expected=self.saved,
            owner=self.owner,
            events=self._count,
        )
        self.saved, self._count = position, 0
        self._on_move(position)

    def _move_to(self, position: int) -> None:
        if self.saved == self.position:
            self._moved_at = time.monotonic()
        self.position = position
        self._on_move(position)
