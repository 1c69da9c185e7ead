"""Waiting until a projection has come to a position."""

import asyncio

import pytest

from eventsource.projections.arrivals import Arrivals

LONG = 3600.0


async def begun(arrivals: Arrivals, position: int) -> "asyncio.Task[None]":
    """Let somebody wait, and return when that has begun."""
    waiting = asyncio.create_task(arrivals.wait_for(position, LONG))
    await asyncio.sleep(0)
    return waiting


@pytest.mark.parametrize("reached", [5, 6, 100])
async def test_it_ends_when_the_position_is_reached(reached: int) -> None:
    """Or one beyond it."""
    arrivals = Arrivals()
    waiting = await begun(arrivals, 5)

    arrivals.arrived(reached)

    async with asyncio.timeout(20):
        await waiting


async def test_it_goes_on_before_that() -> None:
    """An earlier position is not enough."""
    arrivals = Arrivals()
    earlier, later = await begun(arrivals, 4), await begun(arrivals, 5)

    arrivals.arrived(4)
    await earlier

    assert not later.done()
    arrivals.wake_all()
    await later


async def test_all_can_be_woken_wherever_it_is() -> None:
    """There may be nothing more to wait for."""
    arrivals = Arrivals()
    waiting = [await begun(arrivals, position) for position in (1, 1_000_000)]

    arrivals.wake_all()

    async with asyncio.timeout(20):
        await asyncio.gather(*waiting)


async def test_it_takes_no_longer_than_it_is_told() -> None:
    """Whoever waits looks for itself then."""
    async with asyncio.timeout(20):
        await Arrivals().wait_for(1, 0.001)


async def test_being_told_twice_does_no_harm() -> None:
    """Before whoever waits has noticed."""
    arrivals = Arrivals()
    waiting = await begun(arrivals, 1)

    arrivals.arrived(1)
    arrivals.arrived(2)
    arrivals.wake_all()

    await waiting


async def test_whoever_gives_up_is_forgotten() -> None:
    """A server may wait a thousand times a second."""
    arrivals = Arrivals()
    waiting = await begun(arrivals, 1)

    waiting.cancel()
    await asyncio.wait([waiting])
    await arrivals.wait_for(1, 0.0)

    assert (waiting.cancelled(), arrivals._waiting) == (True, {})
