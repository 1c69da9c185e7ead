"""The port of checkpoint repositories."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, final
from uuid import UUID

from eventsource.component import Component, implemented_by
from eventsource.events.base import DomainEvent
from eventsource.events.checks import check_name, check_type
from eventsource.projections.checkpoints.operations import (
    AcquireLease,
    GetAllCheckpoints,
    GetCheckpoint,
    ReleaseLease,
    ResetCheckpoint,
    SaveCheckpoint,
)
from eventsource.projections.checkpoints.values import CheckpointData, LagMetrics
from eventsource.stores.interface import EventStore
from eventsource.stores.values import ReadDirection, ReadOptions, StoredEvent, selection_of

__all__ = ["CheckpointData", "CheckpointRepository", "LagMetrics"]


class CheckpointRepository(Component, ABC):
    """
    Keeps how far each projection has come, by its name.

    A checkpoint moves forward only; `reset_checkpoint` is the one way back. Of several runners of one projection that
    one may move it which has the lease. Backends implement the underscored hooks, and leave the rules to
    `eventsource.projections.checkpoints.moves`. ``system`` names the database (the value of ``db.system.name``).
    """

    system: ClassVar[str] = "other"
    _event_store: EventStore | None = None

    @property
    def namespace(self) -> str | None:
        """The database that the checkpoints are in, where that has a name."""
        return None

    @final
    @implemented_by("_get_checkpoint")
    async def get_checkpoint(self, projection_name: str) -> UUID | None:
        """Return the id of the last event that was handled, if any was."""
        data = await self.get_checkpoint_data(projection_name)
        return data.last_event_id if data else None

    @final
    @implemented_by("_get_checkpoint")
    async def get_position(self, subscription_id: str) -> int | None:
        """Return the global position up to which everything was handled, None before the first time."""
        data = await self.get_checkpoint_data(subscription_id)
        return data.global_position if data else None

    @final
    @implemented_by("_get_checkpoint")
    async def get_checkpoint_data(self, projection_name: str) -> CheckpointData | None:
        """Return everything that is known of a projection's progress, None if nothing is."""
        check_name("projection_name", projection_name)
        return await self._perform(self._get_checkpoint, GetCheckpoint(projection_name))

    @final
    @implemented_by("_get_all_checkpoints")
    async def get_all_checkpoints(self) -> list[CheckpointData]:
        """Return the checkpoints of all projections that have begun, by name."""
        return await self._perform(self._get_all_checkpoints, GetAllCheckpoints())

    @final
    @implemented_by("_save_checkpoint")
    async def update_checkpoint(self, projection_name: str, event_id: UUID, event_type: str) -> None:
        """Note one more event that was handled; the position stays as it is."""
        check_name("projection_name", projection_name)
        check_type("event_id", event_id, UUID)
        check_type("event_type", event_type, str)
        await self._perform(self._save_checkpoint, SaveCheckpoint(projection_name, event_id, event_type))

    @final
    @implemented_by("_save_checkpoint")
    async def save_position(
        self,
        subscription_id: str,
        position: int,
        event_id: UUID | None,
        event_type: str | None,
        *,
        expected: int | None = None,
        owner: str | None = None,
        events: int = 1,
    ) -> None:
        """
        Move the checkpoint to *position*, where *event_id* was the last event that was handled.

        Args:
            subscription_id: The name of the projection.
            position: Everything up to this global position has been handled.
            event_id: The last event that was handled; None leaves the one before.
            event_type: Its type.
            expected: Where the checkpoint must be; not compared if not given.
            owner: Who must have the lease; not compared if not given.
            events: How many events were handled since the last time.

        Raises:
            CheckpointConflictError: If the checkpoint is not where it was expected or beyond *position* already, or if
                *owner* has not the lease; nothing was changed.
        """
        check_name("subscription_id", subscription_id)
        for name, number in (("position", position), ("events", events)):
            check_type(name, number, int)
            if number < 0:
                raise ValueError(f"{name} must be 0 or more, not {number}")
        _check_given(UUID, event_id=event_id)
        _check_given(str, event_type=event_type, owner=owner)
        _check_given(int, expected=expected)
        save = SaveCheckpoint(subscription_id, event_id, event_type, position, expected, owner, events)
        await self._perform(self._save_checkpoint, save)

    @final
    @implemented_by("_reset_checkpoint")
    async def reset_checkpoint(self, projection_name: str, *, replay_until: int | None = None) -> None:
        """
        Let the projection begin again, whether it had begun or not; a lease stays where it is.

        Args:
            projection_name: Which one.
            replay_until: Up to this global position events are handled for the second time. Whoever runs the projection
                empties its read model first.
        """
        check_name("projection_name", projection_name)
        _check_given(int, replay_until=replay_until)
        await self._perform(self._reset_checkpoint, ResetCheckpoint(projection_name, replay_until))

    @final
    @implemented_by("_acquire_lease")
    async def acquire_lease(self, projection_name: str, owner: str, seconds: float) -> CheckpointData | None:
        """
        Get or renew the right to move the checkpoint and return the checkpoint, None if another owner has the right.

        It ends after so many *seconds* by the database's clock, unless it is renewed.
        """
        check_name("projection_name", projection_name)
        check_name("owner", owner)
        if not seconds > 0:
            raise ValueError(f"a lease must be for more than 0 seconds, not {seconds}")
        return await self._perform(self._acquire_lease, AcquireLease(projection_name, owner, seconds))

    @final
    @implemented_by("_release_lease")
    async def release_lease(self, projection_name: str, owner: str) -> None:
        """Let others have the right; nothing is done if it is not *owner*'s."""
        check_name("projection_name", projection_name)
        check_name("owner", owner)
        await self._perform(self._release_lease, ReleaseLease(projection_name, owner))

    @final
    @implemented_by("_get_checkpoint")
    async def get_lag_metrics(
        self, projection_name: str, event_types: Sequence[type[DomainEvent]] | None = None
    ) -> LagMetrics | None:
        """
        Return how far a projection is behind the newest event, None if it has not begun.

        The newest event is looked up in the ``event_store`` that the repository was given; without one the lag is 0.

        Args:
            projection_name: Which one.
            event_types: The classes of events that count; all if not given.
        """
        data = await self.get_checkpoint_data(projection_name)
        if data is None:
            return None
        latest = await self._latest(event_types)
        return LagMetrics(
            projection_name,
            _text(data.last_event_id),
            _text(latest.event_id if latest else None),
            _seconds_behind(data, latest),
            data.events_processed,
            data.last_processed_at.isoformat() if data.last_processed_at else None,
        )

    @abstractmethod
    async def _get_checkpoint(self, get: GetCheckpoint) -> CheckpointData | None: ...

    @abstractmethod
    async def _get_all_checkpoints(self, get: GetAllCheckpoints) -> list[CheckpointData]: ...

    @abstractmethod
    async def _save_checkpoint(self, save: SaveCheckpoint) -> None: ...

    @abstractmethod
    async def _reset_checkpoint(self, reset: ResetCheckpoint) -> None: ...

    @abstractmethod
    async def _acquire_lease(self, acquire: AcquireLease) -> CheckpointData | None: ...

    @abstractmethod
    async def _release_lease(self, release: ReleaseLease) -> None: ...

    async def _latest(self, event_types: Sequence[type[DomainEvent]] | None) -> StoredEvent | None:
        if self._event_store is None:
            return None
        options = ReadOptions(direction=ReadDirection.BACKWARD, limit=1, event_types=selection_of(event_types))
        newest = await self._event_store.read_page(options=options)
        return newest[0] if newest else None


def _check_given(kind: type[Any], **arguments: object) -> None:
    for name, value in arguments.items():
        if value is not None:
            check_type(name, value, kind)


def _text(event_id: UUID | None) -> str | None:
    return None if event_id is None else str(event_id)


def _seconds_behind(data: CheckpointData, latest: StoredEvent | None) -> float:
    if latest is None or latest.event_id == data.last_event_id or data.last_processed_at is None:
        return 0.0
    return round(max(0.0, (latest.stored_at - data.last_processed_at).total_seconds()), 1)
