"""Running a projection: catching up with the log, following it, and living through failures."""

import asyncio
import logging
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import Context
from functools import partial
from typing import Self
from uuid import uuid4

from eventsource.cancellation import is_being_cancelled
from eventsource.component import Component
from eventsource.events.checks import check_type
from eventsource.exceptions import CheckpointConflictError, NotConnectedError, RebuildError
from eventsource.projections.arrivals import Arrivals
from eventsource.projections.awaiting import Awaiting
from eventsource.projections.checkpoints.values import CheckpointData
from eventsource.projections.cursor import Cursor
from eventsource.projections.followers import Follower, check_follower
from eventsource.projections.following import Following
from eventsource.projections.halt import Halt
from eventsource.projections.lag import Lag
from eventsource.projections.leading import Leadership
from eventsource.projections.operations import RefreshLag
from eventsource.projections.pace import Pace
from eventsource.projections.pages import Pages
from eventsource.projections.progress import OnProgress
from eventsource.retry import RetryConfig, calculate_backoff
from eventsource.stores.announcing import Wake
from eventsource.stores.interface import EventStore

logger = logging.getLogger(__name__)

_GRACE = 1.0


class ProjectionRunner(Component):
    """
    A catch-up subscription: feeds a projection from the log, in order and at least once.

    First comes what is there, then what is appended. An async context manager: entering starts a task, leaving stops
    it. Of all runners of one projection, in all processes that share its checkpoints, one is active; the others wait
    for its lease. An event that the projection cannot handle becomes a dead letter; a failure of store or checkpoints
    makes the runner begin again from the checkpoint, later and later.

    Args:
        store: Where the events are.
        projection: Gets those that it is subscribed to, all if `DomainEvent` is among them. Its name, checkpoints, dead
            letters and retry policy count.
        batch_size: How many events are read at a time.
        checkpoint_every: After how many events the checkpoint is saved,
        checkpoint_interval: and after how many seconds at the latest.
        poll_interval: How many seconds apart at most it looks for events of other processes; it begins with a
            hundredth of a second after each event. Appends of this process wake it at once.
        lease_seconds: How long the others wait for a runner that has died.
        lag_interval: How many seconds apart `lag` is refreshed.
        restart_backoff: How long to wait after a failure; ``max_retries`` does not count.
        enable_tracing: Whether an instrumentation makes spans for it.

    Raises:
        TypeError: If *projection* tracks no checkpoint, or another argument is of the wrong type.
        ValueError: If *projection* wants no events, or a number is not positive.
    """

    def __init__(
        self,
        store: EventStore,
        projection: Follower,
        *,
        batch_size: int = 500,
        checkpoint_every: int = 500,
        checkpoint_interval: float = 1.0,
        poll_interval: float = 0.1,
        lease_seconds: float = 15.0,
        lag_interval: float = 5.0,
        restart_backoff: RetryConfig | None = None,
        enable_tracing: bool = True,
    ) -> None:
        check_type("store", store, EventStore)
        check_follower(projection)
        self.enable_tracing = enable_tracing
        self._store = store
        self._projection = projection
        self._pace = Pace(batch_size, checkpoint_every, checkpoint_interval, poll_interval, lease_seconds, lag_interval)
        self._pages = Pages(store, projection.subscribed_to(), batch_size)
        self._backoff = RetryConfig(initial_delay=0.1, max_delay=30.0) if restart_backoff is None else restart_backoff
        check_type("restart_backoff", self._backoff, RetryConfig)
        self._owner = f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex[:8]}"
        self._arrivals = Arrivals()
        self._task: asyncio.Task[None] | None = None
        self._cursor: Cursor | None = None
        self._lag: Lag | None = None
        self._failure: BaseException | None = None
        self._failures = 0
        self._stands_by = False

    @property
    def projection(self) -> Follower:
        """What it runs."""
        return self._projection

    @property
    def projection_name(self) -> str:
        """What the projection is called."""
        return self._projection.projection_name

    @property
    def is_running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._task is not None and not self._task.done()

    @property
    def is_active(self) -> bool:
        """Whether this is the runner that has the lease."""
        return self._cursor is not None

    @property
    def position(self) -> int | None:
        """The global position up to which everything was handled, None while another runner is active."""
        return self._cursor.position if self._cursor else None

    @property
    def lag(self) -> Lag | None:
        """How far the projection is behind what was in the log at the last look; None while the runner does not run."""
        lag, position = self._lag, self.position
        return lag if lag is None or position is None else lag.at(position)

    @property
    def failure(self) -> BaseException | None:
        """Why the runner waits to begin again, None while all is well."""
        return self._failure

    async def start(self) -> None:
        """
        Start running, in a task and a context of its own.

        Raises:
            RuntimeError: If it runs already.
        """
        if self.is_running:
            raise RuntimeError(f"the runner of {self.projection_name} runs already: make another one, or stop it first")
        self._wake = Wake()
        self._halt = Halt(self._wake)
        self._be_well()
        # An empty context: whatever is current where it is started must not be so for ever.
        self._task = asyncio.create_task(self._run(), name=f"run {self.projection_name}", context=Context())

    async def stop(self, timeout: float = 30.0) -> None:
        """Finish the event in hand, save the checkpoint, and end; after *timeout* seconds, be cancelled."""
        task = self._task
        if task is None:
            return
        self._halt.stop()
        self._arrivals.wake_all()
        try:
            await asyncio.wait([task], timeout=timeout)
        finally:
            await self._end(task)
        if task.done() and not task.cancelled():
            task.result()

    async def run(self) -> None:
        """Run until `stop` is called; if this is cancelled, the event in hand is finished first."""
        async with self:
            if self._task is not None:
                await asyncio.wait([self._task])

    def pause(self) -> None:
        """Rest after the event in hand, and keep the lease."""
        self._running_halt().pause()

    def resume(self) -> None:
        """Go on after a pause."""
        self._running_halt().resume()

    async def wait_for(self, position: int | None = None, timeout: float | None = None) -> None:
        """
        Return when everything up to *position* was handled, so that a caller can read what it has written.

        Args:
            position: A global position, as `AppendResult` has it; what the log ends with if not given.
            timeout: For how many seconds to wait at most.

        Raises:
            NotConnectedError: If the runner does not run, or is stopped meanwhile.
            TimeoutError: If it takes longer.
        """
        if position is not None:
            check_type("position", position, int)
        async with self._at_most(timeout):
            if position is None:
                position = await self._store.get_global_position()
            await self._awaiting().arrival(position)

    async def rebuild(self, on_progress: OnProgress | None = None, *, timeout: float | None = None) -> None:
        """
        Empty the read model, hand the projection all events again, and return when it is where the log ends now.

        Whichever runner is active does it, in this process or in another one.

        Args:
            on_progress: Called every now and then; `eventsource.projections.progress.progress_bar` gives one.
            timeout: For how many seconds to wait at most; the rebuild goes on after that.

        Raises:
            NotConnectedError: If the runner does not run, or is stopped meanwhile.
            RebuildError: If the projection does not say how its read model is emptied.
            TimeoutError: If it takes longer.
        """
        if not self._projection._can_be_rebuilt():
            raise RebuildError(self.projection_name, type(self._projection).__qualname__)
        halt = self._running_halt()
        async with self._at_most(timeout):
            target = await self._store.get_global_position()
            await self._projection.checkpoints.reset_checkpoint(self.projection_name, replay_until=target)
            halt.interrupt()
            await self._awaiting().replay(target, on_progress)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.stop()

    async def _refresh_lag(self, refresh: RefreshLag) -> Lag:
        head = await self._store.get_global_position()
        checkpoint = await self._projection.checkpoints.get_position(self.projection_name) or 0
        done = checkpoint if self.position is None else max(checkpoint, self.position)
        oldest_at = await self._pages.oldest_after(done) if head > done else None
        self._lag = Lag(head, done, oldest_at)
        return self._lag

    async def _run(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                refreshing = group.create_task(self._keep_lag_fresh())
                try:
                    await self._keep_leading()
                finally:
                    refreshing.cancel()
        except BaseException as error:
            if not is_being_cancelled():
                logger.critical("The runner of projection %s has ended: %r", self.projection_name, error)
            raise
        finally:
            self._lag, self._failure = None, None
            self._arrivals.wake_all()

    async def _keep_lag_fresh(self) -> None:
        while True:
            try:
                await self._perform(self._refresh_lag, RefreshLag())
            except (Exception, asyncio.CancelledError) as error:  # the next one may succeed
                if is_being_cancelled():
                    raise
                logger.warning("The lag of projection %s was not refreshed: %s", self.projection_name, error)
            await asyncio.sleep(self._pace.lag_interval)

    async def _keep_leading(self) -> None:
        while not self._halt.is_stopped:
            self._halt.clear_interruption()
            try:
                await (self._rest() if self._halt.is_paused else self._lead())
            except (Exception, asyncio.CancelledError) as error:  # whatever fails, the runner lives through it
                if is_being_cancelled():
                    raise asyncio.CancelledError from error  # what failed on the way out is no news to who cancels
                await self._recover_from(error)

    async def _recover_from(self, error: BaseException) -> None:
        seconds = calculate_backoff(self._failures, self._backoff)
        self._failure, self._failures = error, self._failures + 1
        if isinstance(error, CheckpointConflictError):
            logger.info("Projection %s begins again from its checkpoint: %s", self.projection_name, error)
        else:
            message = "Projection %s failed and begins again from its checkpoint in %.1f seconds: %s"
            stack = error if self._failures == 1 else None  # once will do
            logger.error(message, self.projection_name, seconds, error, exc_info=stack)
        await self._halt.sleep(seconds)

    async def _rest(self) -> None:
        self._wake.clear()
        await self._wake.wait(None)

    def _be_well(self, cursor: Cursor | None = None) -> None:
        self._failure = None
        if cursor is None or cursor.seconds_until_due is None:  # what is not saved yet may still fail to be
            self._failures = 0

    async def _lead(self) -> None:
        name, checkpoints = self.projection_name, self._projection.checkpoints
        leadership = Leadership(checkpoints, name, self._owner, self._pace.lease_seconds)
        checkpoint = await leadership.acquire()
        if checkpoint is None:
            if not self._stands_by:
                logger.info("Projection %s stands by: another runner has the lease", name)
            self._stands_by = True
            self._be_well()
            await self._halt.sleep(self._pace.lease_seconds / 10)
            return
        async with leadership.held(self._check_renewed):
            if checkpoint.global_position is None:
                await self._projection._begin(checkpoint, self._owner)
            self._cursor = cursor = self._cursor_at(checkpoint)
            self._stands_by = False
            logger.info("Projection %s goes on from position %d", name, cursor.position)
            self._arrivals.arrived(cursor.position)
            try:
                async with self._store.following(self._wake):
                    await self._following(cursor).follow()
            finally:
                logger.info("Projection %s leaves off at position %d", name, cursor.position)
                self._cursor = None

    def _following(self, cursor: Cursor) -> Following:
        return Following(
            self._projection,
            self._pages,
            cursor,
            self._wake,
            longest_poll=self._pace.poll_interval,
            handle=partial(self._perform, partial(self._projection._project_page, cursor=cursor)),
            on_success=self._be_well,
        )

    def _cursor_at(self, checkpoint: CheckpointData) -> Cursor:
        return Cursor(
            self._projection.checkpoints,
            self.projection_name,
            self._owner,
            checkpoint.global_position or 0,
            checkpoint.replay_until,
            self._halt,
            every=self._pace.checkpoint_every,
            interval=self._pace.checkpoint_interval,
            on_move=self._arrivals.arrived,
        )

    def _check_renewed(self, checkpoint: CheckpointData | None) -> None:
        """Begin again if another runner has the lease by now, or somebody has reset the checkpoint."""
        cursor, position = self._cursor, checkpoint.global_position if checkpoint else None
        was_reset = cursor is not None and (position is None or position < cursor.saved)
        if checkpoint is None or was_reset:
            self._halt.interrupt()

    def _awaiting(self) -> Awaiting:
        return Awaiting(
            self._projection.checkpoints,
            self.projection_name,
            self._arrivals,
            lambda: self.position,
            self._running_halt,
            self._pace.poll_interval,
        )

    @asynccontextmanager
    async def _at_most(self, seconds: float | None) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(seconds):
                yield
        except TimeoutError:
            raise TimeoutError(f"after {seconds} seconds {self._whereabouts()}") from self._failure

    async def _end(self, task: "asyncio.Task[None]") -> None:
        if task.done():
            return
        logger.warning("The runner of projection %s is cancelled: it did not end in time", self.projection_name)
        task.cancel()
        await asyncio.wait([task], timeout=_GRACE)

    def _running_halt(self) -> Halt:
        if self._task is None:
            raise NotConnectedError(
                f"the runner of {self.projection_name} does not run: use it inside 'async with', or call start() first"
            )
        if self._task.done() or self._halt.is_stopped:
            raise NotConnectedError(f"the runner of {self.projection_name} was stopped: call start() to run it again")
        return self._halt

    def _whereabouts(self) -> str:
        where = "is run by another runner, or by none yet" if self.position is None else f"is at {self.position}"
        states = (
            " and paused" if self._halt.is_paused else "",
            f" and failing ({self._failure})" if self._failure else "",
        )
        return f"projection {self.projection_name} {where}{''.join(states)}"
