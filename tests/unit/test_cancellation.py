"""Cleaning up in a task that is cancelled."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest

from eventsource.cancellation import apart, unless_cancelled_within


async def time_out() -> None:
    """Wait for ever, for a moment."""
    async with asyncio.timeout(0.01):
        await asyncio.Event().wait()


async def fail_within() -> None:
    """Do what is cancelled by itself."""
    cancelled = asyncio.get_running_loop().create_future()
    cancelled.cancel()
    await unless_cancelled_within(cancelled, lambda: ValueError("the connection was lost"))


async def begun(work: Callable[[], Awaitable[None]]) -> "asyncio.Task[None]":
    task = asyncio.ensure_future(work())
    await asyncio.sleep(0)
    return task


@pytest.mark.parametrize(("cleanup", "error"), [(time_out, TimeoutError), (fail_within, ValueError)])
async def test_a_cleanup_fails_as_it_would_elsewhere(
    cleanup: Callable[[], Coroutine[Any, Any, None]], error: type[Exception]
) -> None:
    """Though the task it belongs to is cancelled."""
    failures: list[BaseException] = []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            try:
                await apart(cleanup())
            except BaseException as failure:
                failures.append(failure)

    task = await begun(work)
    task.cancel()
    await asyncio.wait({task})

    assert [type(failure) for failure in failures] == [error]


async def test_a_cleanup_goes_on_to_its_end() -> None:
    """Whoever waits for it and is cancelled does not cancel it."""
    may_end, has_ended = asyncio.Event(), asyncio.Event()

    async def cleanup() -> None:
        await may_end.wait()
        has_ended.set()

    task = await begun(lambda: apart(cleanup()))
    task.cancel()
    await asyncio.wait({task})
    may_end.set()

    await asyncio.wait_for(has_ended.wait(), 5)
    assert task.cancelled()
