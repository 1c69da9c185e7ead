"""Context variables that have a value while something is done."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import TypeVar

Value = TypeVar("Value")


@contextmanager
def set_during(variable: ContextVar[Value], value: Value) -> Iterator[None]:
    """Let *variable* be *value* inside the block, and what it was before afterwards."""
    token = variable.set(value)
    try:
        yield
    finally:
        with suppress(ValueError):  # a coroutine that is thrown away may be closed in another context
            variable.reset(token)
