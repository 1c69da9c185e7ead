"""From a message to the handlers of its event."""

import logging
from abc import abstractmethod
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import TypeAlias

from eventsource.ambient import set_during
from eventsource.bus.interface import EventBus
from eventsource.bus.lanes import HANDLER_CANCELLED
from eventsource.bus.messages import Received
from eventsource.bus.operations import Consume, DeadLetter, Dispatch
from eventsource.bus.serializing import EventSerializer
from eventsource.bus.statistics import BrokerStats
from eventsource.cancellation import is_being_cancelled, unless_cancelled_within
from eventsource.events.base import DomainEvent
from eventsource.events.registry import EventTypeNotFoundError
from eventsource.exceptions import DeserializationError
from eventsource.handlers.adapter import HandlerAdapter
from eventsource.headers import headers_in_hand
from eventsource.retry import RetryPolicy

Attempt: TypeAlias = Callable[[Received, int], Awaitable[None]]
Bury: TypeAlias = Callable[[Received, Exception, int], Awaitable[None]]
"""What a session is given to do with a message: `ConsumingEventBus._attempt` and `_bury`."""

MAX_RETRIES_EXCEEDED = "max_retries_exceeded"
DESERIALIZATION_ERROR = "deserialization_error"

_handling: ContextVar[tuple["ConsumingEventBus", ...]] = ContextVar("eventsource_handling", default=())
"""The buses of which a handler is running, or was when it has started the current task."""


class ConsumingEventBus(EventBus):
    """
    Hands what a broker has delivered to the handlers.

    The handlers of one event are called one after the other, and one that fails does no harm to the others: the next
    attempt is made with those that have failed.
    """

    def __init__(self, stats: BrokerStats, serializer: EventSerializer, policy: RetryPolicy, enable_dlq: bool) -> None:
        super().__init__()
        self._logger = logging.getLogger(type(self).__module__)
        self._stats = stats
        self._serializer = serializer
        self._policy = UnlessUnreadable(policy)
        self._enable_dlq = enable_dlq
        self._without_handlers: set[type[DomainEvent]] = set()

    async def _attempt(self, message: Received, number: int) -> None:
        """Make attempt *number*, which counts from 0, to handle *message*; raise what went wrong."""
        try:
            await self._perform(self._consume, Consume(message, number))
        except Exception as error:
            self._note_failure(message, number, error)
            raise
        self._stats.events_processed_success += 1

    async def _bury(self, message: Received, error: Exception, attempts: int) -> None:
        """Keep *message* as a dead letter, if there is a place for those."""
        reason = DESERIALIZATION_ERROR if message.event is None else MAX_RETRIES_EXCEEDED
        facts = {**_facts(message), "dlq_reason": reason, "attempts": attempts, "error": str(error)}
        if self._enable_dlq:
            await self._perform(self._keep, DeadLetter(message, error, attempts, reason))
            self._stats.note_dead_letter()
            self._logger.warning("Message sent to DLQ", extra=facts)
        else:
            self._logger.warning("DLQ disabled, dropping failed message", extra=facts)
        if reason == MAX_RETRIES_EXCEEDED:
            self._stats.events_processed_failed += 1

    def _check_open(self) -> None:
        if not self._is_handling:  # a handler that is seen to its end may publish till then
            super()._check_open()

    @abstractmethod
    async def _keep(self, dead_letter: DeadLetter) -> None:
        """Write *dead_letter* where they are kept; return once that is certain."""

    @property
    def _is_handling(self) -> bool:
        """Whether it is one of its own handlers that is asking, or a task that one has started."""
        return self in _handling.get()

    async def _consume(self, consume: Consume) -> None:
        message = consume.message
        if consume.attempt == 0:
            self._stats.note_consumed()
        with headers_in_hand(message.headers), set_during(_handling, (*_handling.get(), self)):
            if message.event is None:
                message.event = self._decoded(message)
            if message.remaining is None:
                message.remaining = self._handlers_of(message.event)
            if message.remaining:
                await self._dispatch_rest(message, message.event)

    async def _dispatch_rest(self, message: Received, event: DomainEvent) -> None:
        handlers = message.remaining or ()
        dispatch = Dispatch(event, handlers, remain=handlers)
        try:
            await self._perform(self._dispatch, dispatch)
        finally:
            message.remaining = dispatch.remain

    async def _dispatch(self, dispatch: Dispatch) -> None:
        failures: list[Exception] = []
        for handler in dispatch.handlers:
            try:
                await unless_cancelled_within(self._call(handler, dispatch.event), HANDLER_CANCELLED)
            except Exception as error:  # it is raised when the others were called
                if is_being_cancelled():
                    raise
                failures.append(error)
            else:
                dispatch.remain = tuple(each for each in dispatch.remain if each is not handler)
        if len(failures) == 1:
            raise failures[0]
        if failures:
            raise ExceptionGroup(f"{len(failures)} handlers of {dispatch.event.event_type} have failed", failures)

    def _decoded(self, message: Received) -> DomainEvent:
        event_type = message.event_type
        if event_type is None:
            raise DeserializationError("the message has no header 'event_type', so it cannot be told what it carries")
        try:
            event_class = self._serializer.registry.get(event_type)
        except EventTypeNotFoundError as error:
            raise DeserializationError(str(error)) from error
        return self._serializer.deserialize(message.body, event_type, event_class)

    def _handlers_of(self, event: DomainEvent) -> tuple[HandlerAdapter, ...]:
        handlers = self._subscriptions.of(type(event))
        if not handlers and type(event) not in self._without_handlers:
            self._without_handlers.add(type(event))
            self._logger.warning("No handlers registered for %s; its messages count as handled", event.event_type)
        return handlers

    def _note_failure(self, message: Received, number: int, error: Exception) -> None:
        self._stats.note_handler_error()
        facts = {**_facts(message), "retry_count": number, "error": f"{type(error).__name__}: {error}"}
        if message.event is None:
            self._logger.error("Deserialization error, sending directly to DLQ", exc_info=error, extra=facts)
        elif self._policy.should_retry(number, error):
            facts["max_retries"] = self._policy.max_retries
            self._logger.warning("Message processing failed, trying again: %s", error, extra=facts)
        else:
            self._logger.error(
                "Max retries exceeded, message will be sent to DLQ: %s", error, exc_info=error, extra=facts
            )


class UnlessUnreadable:
    """Tries again as *policy* says, but not what cannot be read."""

    def __init__(self, policy: RetryPolicy) -> None:
        self._policy = policy

    @property
    def max_retries(self) -> int:
        """How often at most a failed action is repeated."""
        return self._policy.max_retries

    def get_backoff(self, attempt: int) -> float:
        """Return the seconds to wait after the failed *attempt*."""
        return self._policy.get_backoff(attempt)

    def should_retry(self, attempt: int, error: Exception) -> bool:
        """Tell whether to try again after *attempt* failed with *error*."""
        return not isinstance(error, DeserializationError) and self._policy.should_retry(attempt, error)


def _facts(message: Received) -> dict[str, object]:
    return {
        "event_type": message.event_type,
        "message_id": message.message_id,
        "aggregate_id": message.headers.get("aggregate_id"),
    }
