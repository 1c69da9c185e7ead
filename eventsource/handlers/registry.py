"""The table of a class's handlers, and calling the right one."""

import inspect
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

from eventsource.events.base import DomainEvent
from eventsource.exceptions import UnhandledEventError
from eventsource.handlers.decorators import get_handled_event_type

logger = logging.getLogger(__name__)

UnregisteredEventHandling: TypeAlias = Literal["ignore", "warn", "error"]


@dataclass(frozen=True, slots=True)
class HandlerInfo:
    """One handler method of one object or class."""

    event_type: type[DomainEvent]
    handler_name: str
    handler: Callable[..., Any]
    is_async: bool
    param_count: int

    async def call(self, event: DomainEvent, context: Any = None) -> None:
        """Call the handler with *event*, and with *context* before it if it takes two arguments."""
        outcome = self.handler(event) if self.param_count == 1 else self.handler(context, event)
        if inspect.isawaitable(outcome):
            await outcome


def handlers_of(cls: type) -> Mapping[type[DomainEvent], HandlerInfo]:
    """
    Return the functions of *cls*, inherited ones too, that are marked with ``@handles``.

    For an event that a base class handles too, the handler of the derived class counts.

    Raises:
        ValueError: If one class has two handlers of the same event.
    """
    table: dict[type[DomainEvent], HandlerInfo] = {}
    for base in reversed(cls.__mro__):
        own: dict[type[DomainEvent], HandlerInfo] = {}
        for name, function in vars(base).items():
            if callable(function) and inspect.getattr_static(cls, name) is function:
                _enter(own, name, function, base)
        table |= own
    return table


def check_unregistered_event_handling(cls: type, mode: str) -> None:
    """
    Check the class attribute that says what happens to events without a handler.

    Raises:
        ValueError: If *mode* is none of ignore, warn and error.
    """
    if mode not in get_args(UnregisteredEventHandling):
        raise ValueError(
            f"{cls.__qualname__}.unregistered_event_handling is {mode!r}; it must be 'ignore', 'warn' or 'error'"
        )


def report_unhandled(owner: object, event: DomainEvent, mode: str, handled: Iterable[type[DomainEvent]]) -> None:
    """
    Do what *mode* says about an *event* that *owner* does not handle, unlike those *handled*.

    Raises:
        UnhandledEventError: If *mode* is ``error``.
    """
    name, available = type(owner).__name__, sorted(each.__name__ for each in handled)
    if mode == "error":
        raise UnhandledEventError(type(event).__name__, event.event_id, name, available)
    if mode == "warn":
        logger.warning(
            "No handler registered for event type %s in %s. Available handlers: %s",
            type(event).__name__,
            name,
            ", ".join(available) or "none",
            extra={"event_type": event.event_type, "event_id": str(event.event_id), "handler_class": name},
        )


class HandlerRegistry:
    """
    The handlers of *owner*, found by the exact class of the event.

    Raises:
        ValueError: If a handler takes other than one or two arguments (``event`` or ``context, event``), or is
            not asynchronous although *require_async* is set.
    """

    def __init__(
        self,
        owner: object,
        *,
        require_async: bool = True,
        unregistered_event_handling: UnregisteredEventHandling = "ignore",
        validate_on_init: bool = True,
    ) -> None:
        check_unregistered_event_handling(type(owner), unregistered_event_handling)
        self._owner = owner
        self._mode = unregistered_event_handling
        self._handlers = {key: _bound(info, owner) for key, info in handlers_of(type(owner)).items()}
        if validate_on_init:
            for info in self._handlers.values():
                _check(info, owner, require_async)

    @property
    def owner(self) -> object:
        """The object whose handlers these are."""
        return self._owner

    @property
    def handler_count(self) -> int:
        """How many handlers there are."""
        return len(self._handlers)

    def get_handler(self, event_type: type[DomainEvent]) -> HandlerInfo | None:
        """Return the handler of *event_type*, if there is one."""
        return self._handlers.get(event_type)

    def has_handler(self, event_type: type[DomainEvent]) -> bool:
        """Tell whether there is a handler of *event_type*."""
        return event_type in self._handlers

    def get_subscribed_events(self) -> list[type[DomainEvent]]:
        """Return the event classes that have a handler."""
        return list(self._handlers)

    def get_all_handlers(self) -> list[HandlerInfo]:
        """Return all handlers."""
        return list(self._handlers.values())

    async def dispatch(self, event: DomainEvent, context: Any = None) -> bool:
        """
        Call the handler of *event* and tell whether there was one.

        Raises:
            UnhandledEventError: If there was none and unregistered events are errors.
        """
        info = self._handlers.get(type(event))
        if info is None:
            report_unhandled(self._owner, event, self._mode, self._handlers)
            return False
        await info.call(event, context)
        return True


def _enter(table: dict[type[DomainEvent], HandlerInfo], name: str, function: Callable[..., Any], owner: type) -> None:
    event_type = get_handled_event_type(function)
    if event_type is None:
        return
    if twin := table.get(event_type):
        raise ValueError(
            f"{owner.__qualname__} handles {event_type.__name__} twice, in {twin.handler_name} and in {name}; "
            "one method handles one event class: merge the two"
        )
    parameters = [each for each in inspect.signature(function).parameters.values() if _is_wanted(each)]
    _warn_of_other_annotation(owner, function, event_type, parameters[-1].annotation if parameters else None)
    is_async = inspect.iscoroutinefunction(function)
    table[event_type] = HandlerInfo(event_type, name, function, is_async, len(parameters) - 1)


def _is_wanted(parameter: inspect.Parameter) -> bool:
    if parameter.kind is inspect.Parameter.KEYWORD_ONLY:
        return parameter.default is inspect.Parameter.empty
    return parameter.kind is not inspect.Parameter.VAR_KEYWORD


def _warn_of_other_annotation(
    owner: type, function: Callable[..., Any], event_type: type[DomainEvent], annotation: object
) -> None:
    if not _may_be(event_type, _resolved(annotation, function)):
        logger.warning(
            "%s.%s handles %s, but its parameter is annotated as %s",
            owner.__qualname__,
            function.__name__,
            event_type.__name__,
            annotation,
        )


def _resolved(annotation: object, function: Callable[..., Any]) -> object:
    """Return what an annotation that was written or kept as text stands for, None if that cannot be told here."""
    if not isinstance(annotation, str):
        return annotation
    first, *rest = annotation.split(".")
    found = getattr(function, "__globals__", {}).get(first)
    for name in rest:
        found = getattr(found, name, None)
    return found


def _may_be(event_type: type[DomainEvent], annotation: object) -> bool:
    if not isinstance(annotation, type) or annotation in (Any, inspect.Parameter.empty):
        return True
    return getattr(annotation, "_is_protocol", False) or issubclass(event_type, annotation)


def _bound(info: HandlerInfo, owner: object) -> HandlerInfo:
    method = getattr(owner, info.handler_name)
    return HandlerInfo(info.event_type, info.handler_name, method, info.is_async, info.param_count)


def check_synchronous(cls: type, handlers: Iterable[HandlerInfo], parameters: tuple[str, ...], reason: str) -> None:
    """
    Check the handlers of a class that calls them without awaiting.

    Raises:
        ValueError: If one is asynchronous, which it must not be for this *reason*, or takes other *parameters*.
    """
    for info in handlers:
        name = f"{cls.__qualname__}.{info.handler_name}"
        if info.is_async:
            raise ValueError(f"the handler {name} must not be async: {reason}")
        if info.param_count != len(parameters):
            raise ValueError(
                f"the handler {name} takes {info.param_count} arguments besides self; "
                f"it must take ({', '.join(parameters)})"
            )


def _check(info: HandlerInfo, owner: object, require_async: bool) -> None:
    name = f"{type(owner).__name__}.{info.handler_name}"
    if require_async and not info.is_async:
        raise ValueError(f"the handler {name} must be async: write 'async def {info.handler_name}'")
    if info.param_count not in (1, 2):
        raise ValueError(
            f"the handler {name} takes {info.param_count} arguments besides self; "
            "it must take (event) or (context, event)"
        )
