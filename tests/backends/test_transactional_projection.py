"""Transactional projections: opening them, and what a bus or a caller gives them by hand."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, ClassVar
from uuid import UUID

import pytest

from eventsource.bus.memory import InMemoryEventBus
from eventsource.exceptions import NotConnectedError, UnhandledEventError
from eventsource.handlers.registry import UnregisteredEventHandling
from eventsource.headers import current_headers
from eventsource.retry import RetryPolicy
from eventsource.stores.interface import EventStore
from eventsource.testing.events import DOOR, Closed, Opened, opened

USES: dict[str, Callable[[Any, Opened], Awaitable[object]]] = {
    "fetch": lambda view, event: view.fetch("SELECT 1"),
    "handle": lambda view, event: view.handle(event),
    "reset": lambda view, event: view.reset(),
    "get_checkpoint": lambda view, event: view.get_checkpoint(),
    "retry_dead_letters": lambda view, event: view.retry_dead_letters(),
}


@pytest.fixture
def event(door: UUID) -> Opened:
    """An event."""
    (event,) = opened(door, 1)
    return event


def refuse(connection: object, event: Opened) -> None:
    raise LookupError("no room")


class TestOpening:
    async def test_it_can_be_opened_twice(self, view_of: Any, event: Opened) -> None:
        """At once and again later; what was written is there."""
        view = view_of()
        await view.initialize()
        await view.initialize()
        await view.handle(event)
        await view.close()
        await view.close()

        async with view:
            assert (await view.numbers(), await view.get_checkpoint()) == ([1], str(event.event_id))

    @pytest.mark.parametrize("use", USES.values(), ids=USES)
    async def test_it_cannot_be_used_while_it_is_not_open(
        self, view_of: Any, event: Opened, use: Callable[..., Awaitable[object]]
    ) -> None:
        """Neither before it was opened nor after it was closed; the message names the projection, and not its parts."""
        view = view_of()

        with pytest.raises(NotConnectedError, match=r"^Here on .* is not open: use it inside 'async with'"):
            await use(view, event)
        async with view:
            pass
        with pytest.raises(NotConnectedError, match=r"^Here on .* is not open: use it inside 'async with'"):
            await use(view, event)

    async def test_a_cancelled_opening_leaves_nothing_open(self, view_of: Any) -> None:
        """If nobody else wants it open."""
        view = view_of()
        opening = asyncio.create_task(view.initialize())
        await asyncio.sleep(0)

        opening.cancel()
        await asyncio.wait([opening])

        assert not any(part.is_connected for part in (view, view.checkpoints, view.dead_letters))

    async def test_the_database_may_be_that_of_the_event_store(self, log: EventStore, view: Any, event: Opened) -> None:
        """Both are open at once."""
        await log.append_events(event.aggregate_id, DOOR, [event], 0)
        await view.handle(event)

        assert (await log.get_global_position(), await view.numbers()) == (1, [1])


class TestHandling:
    async def test_what_a_bus_delivers_is_written_and_noted(self, view: Any, event: Opened) -> None:
        """With what stands beside it in hand."""
        headers: list[dict[str, str]] = []
        view.do = lambda connection, event: headers.append(dict(current_headers()))
        bus = InMemoryEventBus()
        bus.subscribe_all(view)

        await bus.publish([event, Closed(aggregate_id=event.aggregate_id)], headers={"request": "7"})

        assert (await view.numbers(), await view.get_checkpoint()) == ([1], str(event.event_id))
        assert headers == [{"request": "7"}]

    async def test_an_event_that_fails_leaves_its_reason_only(self, view: Any, event: Opened) -> None:
        """What its handler had written is undone, and the checkpoint has not moved."""
        view.do = refuse

        with pytest.raises(LookupError, match="no room"):
            await view.handle(event)

        assert (await view.numbers(), await view.get_checkpoint()) == ([], None)
        assert await view.failed() == [("no room", 1)]

    async def test_it_is_tried_as_often_as_the_policy_says(
        self, view_of: Any, event: Opened, at_once: Callable[[int], RetryPolicy]
    ) -> None:
        """What failed attempts have written is undone each time."""
        failures = [LookupError("first"), LookupError("second")]

        def fail(connection: object, event: Opened) -> None:
            if failures:
                raise failures.pop()

        async with view_of(fail, retry_policy=at_once(2)) as view:
            await view.handle(event)

            assert (await view.numbers(), await view.failed()) == ([1], [])


class TestUnhandledEvents:
    @pytest.mark.parametrize(("mode", "lines"), [("ignore", 0), ("warn", 1)])
    async def test_they_count_as_handled(
        self,
        view_of: Any,
        door: UUID,
        caplog: pytest.LogCaptureFixture,
        mode: UnregisteredEventHandling,
        lines: int,
    ) -> None:
        """With a warning or without one."""
        event = Closed(aggregate_id=door)
        lenient = type("Lenient", (view_of,), {"unregistered_event_handling": mode})

        async with lenient() as view:
            with caplog.at_level(logging.WARNING, "eventsource.handlers.registry"):
                await view.handle(event)

            assert await view.get_checkpoint() == str(event.event_id)
        assert (
            caplog.messages
            == ["No handler registered for event type Closed in Lenient. Available handlers: Opened"][:lines]
        )

    async def test_they_may_be_errors(self, view_of: Any, door: UUID) -> None:
        """For projections that must miss nothing."""

        class Strict(view_of):  # type: ignore[misc]
            unregistered_event_handling: ClassVar[UnregisteredEventHandling] = "error"

        async with Strict() as view:
            with pytest.raises(UnhandledEventError, match="Strict has no handler for Closed"):
                await view.handle(Closed(aggregate_id=door))

            assert (await view.get_checkpoint(), len(await view.failed())) == (None, 1)


class TestResetting:
    async def test_checkpoint_and_read_model_are_forgotten(
        self, view: Any, event: Opened, caplog: pytest.LogCaptureFixture
    ) -> None:
        """And the log tells of it."""
        await view.handle(event)

        await view.reset()

        assert (await view.numbers(), await view.get_checkpoint()) == ([], None)
        assert caplog.messages == ["Resetting projection visits"]

    async def test_another_projection_in_the_database_keeps_its_own(
        self, view: Any, view_of: Any, event: Opened
    ) -> None:
        """Checkpoint, rows and dead letters go by the name."""
        async with view_of(name="other") as other:
            await view.handle(event)
            await other.handle(event)

            await view.reset()

            assert (await view.numbers(), await view.get_checkpoint()) == ([], None)
            assert (await other.numbers(), await other.get_checkpoint()) == ([1], str(event.event_id))
