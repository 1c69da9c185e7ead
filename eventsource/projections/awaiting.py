"""Waiting for what a runner, this one or another, does with a projection."""

import asyncio
from collections.abc import Callable
from contextvars import Context

from eventsource.projections.arrivals import Arrivals
from eventsource.projections.checkpoints.interface import CheckpointRepository
from eventsource.projections.checkpoints.values import CheckpointData
from eventsource.projections.progress import OnProgress, ReplayProgress


class Awaiting:
    """
    Waits for a projection, whoever runs it.

    Args:
        checkpoints: Where it is seen how far the projection has come with another runner.
        projection_name: Which projection.
        arrivals: Tell how far it has come with this one.
        position: Where it stands with this one, None if another is active.
        check: Raises if there is nothing to wait for any more.
        interval: How many seconds apart to look.
    """

    def __init__(
        self,
        checkpoints: CheckpointRepository,
        projection_name: str,
        arrivals: Arrivals,
        position: Callable[[], int | None],
        check: Callable[[], object],
        interval: float,
    ) -> None:
        self._checkpoints = checkpoints
        self._name = projection_name
        self._arrivals = arrivals
        self._position = position
        self._check = check
        self._interval = interval

    async def arrival(self, position: int) -> None:
        """Return when everything up to *position* was handled."""
        self._check()
        while not await self._has_reached(position):
            await self._arrivals.wait_for(position, self._interval)
            self._check()

    async def replay(self, target: int, on_progress: OnProgress | None) -> None:
        """Return when everything up to *target* was handled again, and tell *on_progress* of it."""
        while True:
            data = await self._checkpoint()
            if on_progress is not None:
                on_progress(ReplayProgress(self._name, data.global_position or 0 if data else 0, target))
            if data is not None and data.replay_until is None:
                return
            self._check()
            await self._arrivals.wait_for(target, self._interval)

    async def _has_reached(self, position: int) -> bool:
        data = await self._checkpoint() if self._position() is None else None
        reached = self._position()  # as it may be by now: nobody waits for what arrived meanwhile
        if reached is None and data is not None:
            reached = data.global_position
        return reached is not None and reached >= position

    async def _checkpoint(self) -> CheckpointData | None:
        """Return what is saved, without a trace of that in what is current: it is asked for again and again."""
        return await asyncio.create_task(self._checkpoints.get_checkpoint_data(self._name), context=Context())
