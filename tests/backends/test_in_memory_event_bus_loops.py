"""The bus within the process, used by one event loop after another."""

import asyncio
from uuid import uuid4

from eventsource.bus.memory import InMemoryEventBus
from eventsource.events.base import DomainEvent
from eventsource.testing.events import Opened, opened


def test_shutdown_does_not_wait_for_a_loop_that_is_closed() -> None:
    """What was left unfinished there will never tell that it is done."""
    bus = InMemoryEventBus()

    async def stuck(event: DomainEvent) -> None:
        await asyncio.get_running_loop().create_future()

    bus.subscribe(Opened, stuck)
    loop = asyncio.new_event_loop()
    unfinished = loop.create_task(bus.publish(opened(uuid4(), 1)))
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()

    async def shut_down() -> bool:
        stopping = asyncio.ensure_future(bus.shutdown(timeout=60))
        await asyncio.wait([stopping], timeout=10)
        return stopping.done()

    assert asyncio.run(shut_down())
    unfinished._log_destroy_pending = False  # type: ignore[attr-defined]


def test_a_publication_that_is_thrown_away_is_over() -> None:
    """Whoever closes the coroutine, in whatever context: the bus does not wait for it."""
    bus = InMemoryEventBus()

    async def stuck(event: DomainEvent) -> None:
        await asyncio.get_running_loop().create_future()

    async def begin_and_throw_away() -> None:
        bus.subscribe(Opened, stuck)
        publication = bus.publish(opened(uuid4(), 1))
        publication.send(None)
        publication.close()
        await asyncio.wait_for(bus.shutdown(timeout=60), timeout=10)

    asyncio.run(begin_and_throw_away())

    assert bus.get_stats()["events_published"] == 1
