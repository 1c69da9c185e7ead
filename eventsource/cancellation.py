"""Telling a task that is cancelled from a `CancelledError` that something inside it has raised."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")


def is_being_cancelled() -> bool:
    """Tell whether somebody has asked the current task to end."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def unless_cancelled_within(action: Awaitable[Result], failure: Callable[[], Exception]) -> Result:
    """Return what *action* returns; raise *failure* if it is cancelled and the current task is not."""
    try:
        return await action
    except asyncio.CancelledError as error:
        if is_being_cancelled():
            raise
        raise failure() from error


async def apart(cleanup: Coroutine[Any, Any, Result]) -> Result:
    """
    Return what *cleanup* returns, which goes on to its end in a task of its own, whatever happens to this one.

    In a task that is being cancelled itself, `asyncio.timeout` has no effect before Python 3.11.4 (gh-102780), and a
    `CancelledError` from within cannot be told from its own.
    """
    return await asyncio.shield(asyncio.create_task(cleanup))


async def to_the_end(work: Coroutine[Any, Any, None]) -> None:
    """Return when *work* is done; whoever is cancelled meanwhile learns so when it is."""
    doing = asyncio.ensure_future(work)
    try:
        await asyncio.shield(doing)
    except asyncio.CancelledError:
        await doing
        raise
