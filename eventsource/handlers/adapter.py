"""Calling whatever was subscribed, and naming it."""

import functools
import inspect
from collections.abc import Awaitable, Callable
from types import BuiltinMethodType, MethodType
from typing import Any

from eventsource.events.base import DomainEvent


def get_handler_name(handler: Any) -> str:
    """Return ``Class.method``, or the qualified name of a function."""
    while isinstance(handler, functools.partial):
        handler = handler.func
    if isinstance(handler, MethodType):
        owner = handler.__self__ if isinstance(handler.__self__, type) else type(handler.__self__)
        return f"{owner.__name__}.{handler.__name__}"
    if hasattr(handler, "handle"):
        return f"{type(handler).__name__}.handle"
    return getattr(handler, "__qualname__", f"{type(handler).__name__}.__call__")


class HandlerAdapter:
    """
    One way to call objects with a ``handle`` method and plain callables, asynchronous or not.

    A handler that is not asynchronous runs where it is called. Two adapters are equal if they
    stand for the same handler.

    Raises:
        TypeError: If *handler* is neither.
    """

    __slots__ = ("_call", "name", "original")

    def __init__(self, handler: Any) -> None:
        self.original = handler
        self.name = get_handler_name(handler)
        self._call = _callable_of(handler)

    async def handle(self, event: DomainEvent) -> None:
        """Let the handler handle *event*."""
        outcome = self._call(event)
        if inspect.isawaitable(outcome):
            await outcome

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, HandlerAdapter):
            return NotImplemented
        return _identity(self.original) == _identity(other.original)

    def __hash__(self) -> int:
        return hash(_identity(self.original))


def _callable_of(handler: Any) -> Callable[[DomainEvent], Awaitable[None] | None]:
    function = getattr(handler, "handle", None) if not isinstance(handler, MethodType) else handler
    function = function if callable(function) else handler
    if isinstance(handler, type) and hasattr(handler, "handle"):
        raise TypeError(f"{handler!r} is a class: subscribe an object of it")
    if not callable(function):
        raise TypeError(f"{handler!r} is no event handler: it is not callable and has no method handle(event)")
    return function


def _identity(handler: Any) -> tuple[object, ...]:
    if isinstance(handler, MethodType):  # each access of obj.method makes a new object
        return id(handler.__self__), id(handler.__func__)
    if isinstance(handler, BuiltinMethodType):  # so does each access of a_list.append
        return id(handler.__self__), handler.__name__
    return (id(handler),)
