"""Spans of the application's own: they do nothing until an instrumentation is switched on."""

import functools
import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Mapping
from contextlib import AbstractContextManager, nullcontext
from contextvars import Context, copy_context
from types import coroutine
from typing import Any, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])


class TracingMixin:
    """
    Gives a class spans: call `_init_tracing` when it is made, and `_create_span_context` around its work.

    An instrumentation looks at nothing but `_create_span_context`, ``_tracer_name`` and ``_enable_tracing``.
    """

    _tracer_name: str | None = None
    _enable_tracing: bool = False

    def _init_tracing(self, tracer_name: str, enable_tracing: bool = True) -> None:
        """Name the tracer, after the module as a rule, and say whether this object wants spans."""
        self._tracer_name = tracer_name
        self._enable_tracing = enable_tracing

    def _create_span_context(
        self, name: str, attributes: Mapping[str, Any] | None = None
    ) -> AbstractContextManager[Any]:
        """Return a context manager that gives the current span, or None while nobody instruments."""
        return nullcontext()

    @property
    def tracing_enabled(self) -> bool:
        """Whether this object wants spans."""
        return self._enable_tracing


def traced(name: str, attributes: Mapping[str, Any] | None = None) -> Callable[[Function], Function]:
    """
    Put a span called *name* around a method of a `TracingMixin`: a plain one, a coroutine or an async generator.

    The span of an async generator lasts from its first step to its last and is current within its steps, never in the
    code that iterates over it; while there is a span, the steps share a context of their own, copied at the first.
    Methods of other classes are called as they are.

    Raises:
        TypeError: If *name* is no string, or what is decorated no function, or a generator that is not asynchronous.
    """
    if not isinstance(name, str):
        raise TypeError('traced needs the name of the span: write @traced("service.operation")')

    def decorate(function: Function) -> Function:
        return functools.wraps(function)(_around(function, name, attributes))  # type: ignore[return-value]

    return decorate


def _around(function: Callable[..., Any], name: str, attributes: Mapping[str, Any] | None) -> Callable[..., Any]:
    if not inspect.isfunction(function):
        raise TypeError(f"{function!r} is no function: write @traced(...) below other decorators")
    if inspect.isgeneratorfunction(function):
        raise TypeError(f"{function.__qualname__} is a generator: make it asynchronous, or trace what it calls")
    if inspect.isasyncgenfunction(function):
        return _around_generator(function, name, attributes)

    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        with _span(self, name, attributes):
            return function(self, *args, **kwargs)

    async def call_async(self: Any, *args: Any, **kwargs: Any) -> Any:
        with _span(self, name, attributes):
            return await function(self, *args, **kwargs)

    return call_async if inspect.iscoroutinefunction(function) else call


def _around_generator(
    function: Callable[..., AsyncGenerator[Any, Any]], name: str, attributes: Mapping[str, Any] | None
) -> Callable[..., AsyncGenerator[Any, Any]]:
    async def iterate(self: Any, *args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        steps, span = function(self, *args, **kwargs), _span(self, name, attributes)
        context = None if isinstance(span, nullcontext) else copy_context()
        _run(context, span.__enter__)
        try:
            step = anext(steps)
            while True:
                value = await _step_in(context, step)
                try:
                    step = steps.asend((yield value))
                except GeneratorExit:
                    await _step_in(context, steps.aclose())
                    raise
                except BaseException as error:  # thrown in by whoever iterates: it is the generator's to handle
                    step = steps.athrow(error)
        except StopAsyncIteration:
            _run(context, span.__exit__, None, None, None)
        except BaseException as error:
            _run(context, span.__exit__, type(error), error, error.__traceback__)
            raise

    return iterate


@coroutine
def _step_in(context: Context | None, awaitable: Awaitable[Any]) -> Generator[Any, Any, Any]:
    """Await *awaitable* with *context* as the current one, the caller's if it is None."""
    steps: Any = awaitable.__await__()
    resume, argument = steps.send, None
    while True:
        try:
            awaited = _run(context, resume, argument)
        except StopIteration as finished:
            return finished.value
        try:
            resume, argument = steps.send, (yield awaited)
        except BaseException as error:  # thrown in by the event loop: it is the awaitable's to handle
            resume, argument = steps.throw, error


def _run(context: Context | None, function: Callable[..., Any], *args: Any) -> Any:
    return function(*args) if context is None else context.run(function, *args)


def _span(owner: Any, name: str, attributes: Mapping[str, Any] | None) -> AbstractContextManager[Any]:
    if isinstance(owner, TracingMixin):
        return owner._create_span_context(name, attributes)
    return nullcontext()
