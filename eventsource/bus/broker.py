"""What event buses over message brokers have in common."""

import asyncio
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import Context
from datetime import UTC, datetime
from typing import Any, Self

from eventsource.bus.consuming import ConsumingEventBus
from eventsource.bus.operations import Publish
from eventsource.bus.serializing import EventSerializer
from eventsource.bus.statistics import BrokerStats
from eventsource.bus.stopping import Stop, running
from eventsource.cancellation import is_being_cancelled, unless_cancelled_within
from eventsource.events.base import DomainEvent
from eventsource.exceptions import BrokerConnectionError, EventBusError, EventSourceError, NotConnectedError
from eventsource.retry import RetryConfig, RetryPolicy, calculate_backoff
from eventsource.types import Headers

_GRACE = 1.0
"""Seconds that whatever was cancelled has to end."""

_RECONNECTING = RetryConfig(initial_delay=1.0, max_delay=60.0, jitter=0.1)


class BrokerEventBus(ConsumingEventBus):
    """
    An event bus over a message broker: it connects, publishes, and consumes in sessions, one after the other.

    Backends implement the underscored methods.
    """

    def __init__(
        self,
        *,
        stats: BrokerStats,
        serializer: EventSerializer,
        policy: RetryPolicy,
        enable_dlq: bool,
        shutdown_timeout: float,
        consumer: str,
        reconnecting: RetryConfig = _RECONNECTING,
    ) -> None:
        super().__init__(stats, serializer, policy, enable_dlq)
        self._shutdown_timeout = shutdown_timeout
        self._consumer = consumer
        self._reconnecting = reconnecting
        self._publications: set[asyncio.Future[None]] = set()
        self._background: set[asyncio.Task[None]] = set()
        self._connecting = asyncio.Lock()
        self._consumption: asyncio.Task[None] | None = None
        self._stop = Stop()
        self._delivering = asyncio.Event()
        """Is set while the broker has this consumer."""
        self._has_begun = False
        self._has_settled = False
        self._closing: asyncio.Task[None] | None = None

    @property
    @abstractmethod
    def is_connected(self) -> bool:
        """Whether the connection to publish with is open."""

    @property
    def is_consuming(self) -> bool:
        """Whether messages are being handed to handlers, or will be once the broker is back."""
        return self._consumption is not None and not self._consumption.done()

    def get_stats_dict(self) -> dict[str, Any]:
        """Return what was counted so far, by name."""
        return self._stats.as_dict()

    async def connect(self) -> None:
        """
        Connect to the broker; consuming begins only when it is asked for.

        Raises:
            BrokerConnectionError: If the broker cannot be reached in time, or refuses.
            NotConnectedError: If the bus was shut down.
        """
        self._check_not_shut_down()
        async with self._connecting:
            if self.is_connected:
                self._logger.warning("%s is connected already", type(self).__name__)
                return
            try:
                await self._connect()
            except EventBusError:
                self._stats.note_connection_error()
                raise
            self._stats.connected_at = datetime.now(UTC)

    async def disconnect(self) -> None:
        """Finish what is being published and handled, and close the connections; the bus may be connected again."""
        await self._close(self._shutdown_timeout)

    async def start_consuming(self, auto_reconnect: bool = True) -> None:
        """
        Hand messages to the handlers until `stop_consuming` or `shutdown` is called.

        Args:
            auto_reconnect: Whether to go on after a failure, a lost connection say, as soon as that is possible. What
                keeps the consumer from beginning at all is always raised.

        Raises:
            BrokerConnectionError: If the broker cannot be reached.
            EventBusError: If the broker refuses to be consumed from.
            NotConnectedError: If the bus was shut down.
        """
        if self.is_consuming:
            self._logger.warning("%s is consuming already", self._consumer)
            return
        task = self.start_consuming_in_background(auto_reconnect)
        try:
            await task
        except asyncio.CancelledError:
            if is_being_cancelled():
                raise

    def start_consuming_in_background(self, auto_reconnect: bool = True) -> "asyncio.Task[None]":
        """
        Start a task that does what `start_consuming` does, and return it.

        Raises:
            RuntimeError: If there is one already.
        """
        if self.is_consuming:
            raise RuntimeError(f"{self._consumer} is consuming already: call stop_consuming() first")
        self._check_open()
        self._stop = Stop()
        self._has_begun = False
        self._delivering = asyncio.Event()  # a new one, for it may be another event loop
        self._consumption = asyncio.create_task(
            self._consume_in_sessions(self._stop, auto_reconnect), name=self._consumer, context=Context()
        )
        return self._consumption

    async def wait_until_consuming(self, timeout: float = 30.0) -> None:
        """
        Return once the broker has taken this consumer in; it delivers when it is this one's turn.

        Raises:
            EventBusError: If consuming has failed or was ended.
            NotConnectedError: If nobody has started it.
            TimeoutError: After *timeout* seconds.
        """
        if self._consumption is None:
            raise NotConnectedError(f"{self._consumer} does not consume: call start_consuming_in_background() first")
        async with running(self._delivering.wait()) as delivering, asyncio.timeout(timeout):
            await asyncio.wait({delivering, self._consumption}, return_when=asyncio.FIRST_COMPLETED)
        if self._consumption.done():
            if not self._consumption.cancelled():
                self._consumption.result()
            raise EventBusError(f"{self._consumer} does not consume any more")

    async def stop_consuming(self) -> None:
        """Finish what the handlers have in hand, and return when it is settled; a handler does not wait for itself."""
        self._stop.request(self._shutdown_timeout)
        if self._consumption is not None and not self._is_handling:
            await asyncio.wait({self._consumption})

    async def shutdown(self, timeout: float | None = None) -> None:
        """
        Finish what is being published and handled, for *timeout* seconds at most, and disconnect for good.

        What does not end by then is cancelled; a broker that does not answer costs a few seconds more. Nothing more is
        accepted. A handler that shuts its own bus down does not wait for itself; it is seen to its end.
        """
        self._is_shut_down = True
        await self._close(self._shutdown_timeout if timeout is None else timeout)

    async def __aenter__(self) -> Self:
        await self.connect()
        return self

    @abstractmethod
    async def _connect(self) -> None:
        """Open what is needed to publish; raise a `BrokerConnectionError` where that fails."""

    @abstractmethod
    async def _disconnect(self) -> None:
        """Close all connections, in bounded time, whatever state they are in."""

    @abstractmethod
    def _message_of(self, event: DomainEvent, headers: Headers | None) -> Any:
        """Return the message that carries *event*."""

    @abstractmethod
    async def _send(self, messages: Sequence[Any]) -> None:
        """Publish *messages* in their order, and return once the broker has confirmed all of them."""

    @abstractmethod
    async def _run_session(self, stop: Stop) -> None:
        """
        Consume until *stop* is requested, then finish in its patience and return.

        Call `_note_delivering` once the broker delivers. Raise whatever ends the session before.
        """

    async def _begin(self, publish: Publish) -> None:
        if not publish.background:
            await super()._begin(publish)
            return
        task = asyncio.create_task(self._publish_in_background(publish))
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def _publish_in_background(self, publish: Publish) -> None:
        try:
            await super()._begin(publish)
        except Exception as error:  # nobody waits for it: it can only be told
            self._logger.error("Failed to publish event: %s", error, exc_info=error)

    async def _publish(self, publish: Publish) -> None:
        with self._publishing():
            try:
                messages = [self._message_of(event, publish.headers) for event in publish.events]
                await self._send(messages)
            except EventSourceError:
                self._stats.note_publish_error()
                raise
        self._stats.note_published(len(messages))

    @contextmanager
    def _publishing(self) -> Iterator[None]:
        """Have whoever closes the bus wait for what is done inside."""
        publication: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._publications.add(publication)
        try:
            yield
        finally:
            self._publications.discard(publication)
            publication.cancel()

    async def _consume_in_sessions(self, stop: Stop, auto_reconnect: bool) -> None:
        failures = 0
        while (error := await self._session_error(stop)) is not None:
            self._stats.note_connection_error()
            if stop.is_requested:
                self._logger.warning("%s did not end in good order: %s", self._consumer, error, exc_info=error)
                return
            if not (auto_reconnect and self._has_begun):
                raise error
            failures = 0 if self._has_settled else failures + 1
            delay = calculate_backoff(failures, self._reconnecting)
            trace = error if failures < 1 else None  # it is known afterwards
            self._logger.warning(
                "%s was interrupted, and goes on in %.1f s: %s", self._consumer, delay, error, exc_info=trace
            )
            await stop.sleep(delay)
            if stop.is_requested:
                return

    async def _session_error(self, stop: Stop) -> Exception | None:
        """Run a session, and return what has ended it before its time."""
        settled = self._stats.settled
        try:
            await unless_cancelled_within(self._run_session(stop), self._lost)
        except Exception as error:  # whatever it was, the next session may do better
            return error
        finally:
            self._delivering.clear()
            self._has_settled = self._stats.settled > settled
        return None

    def _lost(self) -> BrokerConnectionError:
        return BrokerConnectionError(f"{self._consumer} has lost its connection")

    def _note_delivering(self) -> None:
        """Note that the broker has taken this consumer in, for the first time or once more."""
        if self._has_begun and not self._delivering.is_set():
            self._stats.reconnections += 1
        self._has_begun = True
        self._delivering.set()

    async def _close(self, seconds: float) -> None:
        if self._closing is None or self._closing.done():
            self._closing = asyncio.create_task(self._end(seconds), context=Context())
        if not self._is_handling:
            await asyncio.shield(self._closing)

    async def _end(self, seconds: float) -> None:
        await self._end_activities(seconds)
        async with self._connecting:
            await self._disconnect()

    async def _end_activities(self, seconds: float) -> None:
        """Give publications and handlers *seconds* to end, then cancel them."""
        self._stop.request(seconds - min(_GRACE, seconds / 5))  # the rest is for the broker
        tasks = {*self._background, *([self._consumption] if self._consumption else [])}
        activities = tasks | self._publications
        if not activities:
            return
        _, late = await asyncio.wait(activities, timeout=seconds)
        if not late:
            return
        self._logger.warning("Event bus shutdown: %d task(s) did not complete within timeout", len(late))
        for task in tasks & late:
            task.cancel()
        if tasks & late:
            await asyncio.wait(tasks & late, timeout=_GRACE)
