"""Catching up with the log, and following it from there on."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from eventsource.projections.cursor import Cursor
from eventsource.projections.followers import Follower
from eventsource.projections.operations import CatchUp
from eventsource.projections.pages import Pages, UnreadableEventFound
from eventsource.stores.announcing import Wake

_SHORTEST_POLL = 0.01
_SLOWER = 1.5


class Following:
    """
    Leads *projection* through *pages* from where *cursor* stands, until a halt says to leave.

    Args:
        projection: What is given the events.
        pages: Where they come from.
        cursor: How far it has come, and whether to go on.
        wake: Wakes it at the end of the log.
        longest_poll: How many seconds apart at most it looks there for more.
        handle: Lets the projection handle one page.
        on_success: Called with the cursor whenever nothing has failed.
    """

    def __init__(
        self,
        projection: Follower,
        pages: Pages,
        cursor: Cursor,
        wake: Wake,
        *,
        longest_poll: float,
        handle: Callable[[CatchUp], Coroutine[Any, Any, object]],
        on_success: Callable[[Cursor], None],
    ) -> None:
        self._projection = projection
        self._pages = pages
        self._cursor = cursor
        self._wake = wake
        self._longest_poll = longest_poll
        self._handle = handle
        self._on_success = on_success

    async def follow(self) -> None:
        """Go on until a halt is wanted, and save the checkpoint."""
        cursor, halt, poll = self._cursor, self._cursor.halt, _SHORTEST_POLL
        try:
            while not halt.is_ending:
                self._wake.clear()
                if halt.is_paused:
                    await cursor.save()
                    await self._wake.wait(None)
                elif await self._advance():
                    poll = _SHORTEST_POLL
                else:
                    await self._idle(poll)
                    poll = min(poll * _SLOWER, self._longest_poll)
        finally:
            if not halt.is_interrupted:  # by whoever has moved the checkpoint, or may do so by now
                await cursor.save()

    async def _advance(self) -> bool:
        """Handle the next page and tell whether there was one."""
        cursor, replay_until = self._cursor, self._cursor.replay_until
        page = await self._next_page(replay_until)
        if page is not None and page.events:
            # In a task of its own: before Python 3.13 one stays marked as cancelled when a TaskGroup in it has failed.
            await asyncio.create_task(self._handle(page))
        # A page that was left early is known by the cursor too: the pause that did it may be over by now.
        if page is None or cursor.halt.is_wanted or (page.events and cursor.position < page.events[-1].global_position):
            return page is not None
        cursor.skip_to(page.to_position)
        is_replayed = replay_until is not None and cursor.replay_until is None
        await (cursor.save() if is_replayed else cursor.save_if_due())
        self._on_success(cursor)
        return True

    async def _next_page(self, replay_until: int | None) -> CatchUp | None:
        position = self._cursor.position
        try:
            return await self._pages.after(position, replay_until)
        except UnreadableEventFound as found:
            await self._projection._skip_unreadable(found.event, found.error)
            return CatchUp((), position, found.event.global_position, replay_until is not None)

    async def _idle(self, poll: float) -> None:
        due = self._cursor.seconds_until_due
        await self._wake.wait(poll if due is None else min(poll, due))
        await self._cursor.save_if_due()
        self._on_success(self._cursor)
