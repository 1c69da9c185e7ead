"""Events that keep failing are in nobody's way but their own aggregate's."""

import asyncio
from collections.abc import Callable
from uuid import UUID

import pytest

from eventsource.events.base import DomainEvent
from eventsource.testing.events import Opened, opened
from services.brokers import BROKERS

pytestmark = pytest.mark.servers

FAILING, OTHERS = UUID(int=0), [UUID(int=number) for number in range(1, 21)]
PATIENCE = 30
DEFAULT_RETRIES = {"retry_base_delay": 1.0, "retry_max_delay": 60.0, "retry_jitter": 0.1}


@pytest.mark.parametrize("system", BROKERS)
async def test_other_aggregates_go_on_while_one_keeps_failing(
    system: str, request: pytest.FixtureRequest, report: Callable[[str], None]
) -> None:
    """The 200 events of the others are handled although 150 that fail were published before them."""
    handled: list[DomainEvent] = []
    everything = asyncio.Event()

    async def handle(event: Opened) -> None:
        if event.aggregate_id == FAILING:
            raise ConnectionError("the database is away")
        handled.append(event)
        if len(handled) == 200:
            everything.set()

    async with BROKERS[system](request.getfixturevalue(BROKERS[system].address)) as broker:
        bus = await broker.consuming(**DEFAULT_RETRIES)
        bus.subscribe(Opened, handle)
        begun = asyncio.get_running_loop().time()
        await bus.publish(opened(FAILING, 150))
        await bus.publish([event for aggregate_id in OTHERS for event in opened(aggregate_id, 10)])

        async with asyncio.timeout(PATIENCE):
            await everything.wait()

        seconds = asyncio.get_running_loop().time() - begun
        dead_letters = bus.stats.messages_sent_to_dlq
        assert bus.stats.handler_errors > 0
        assert dead_letters < 150
        report(
            f"{system}: 200 events of others handled {seconds:.2f} s after 150 failing ones were published, of which "
            f"{dead_letters} were dead letters by then"
        )
