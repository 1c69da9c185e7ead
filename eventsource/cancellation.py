"""Telling a task that is cancelled from a `CancelledError` that something inside it has raised."""

import asyncio


def is_being_cancelled() -> bool:
    """Tell whether somebody has asked the current task to end."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
