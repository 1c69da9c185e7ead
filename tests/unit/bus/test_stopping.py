"""Asking a consumption to come to its end."""

import asyncio

from eventsource.bus.stopping import Stop

LONG = 3600.0


async def test_nothing_is_requested_at_first() -> None:
    """A consumption goes on."""
    assert not Stop().is_requested


async def test_a_request_says_how_patient_it_is() -> None:
    """That is how long handlers have."""
    stop = Stop()

    stop.request(2.5)

    assert (stop.is_requested, stop.patience) == (True, 2.5)


async def test_the_first_request_counts() -> None:
    """Whoever asks again changes nothing."""
    stop = Stop()

    stop.request(2.5)
    stop.request(LONG)

    assert stop.patience == 2.5


async def test_whoever_waits_for_a_request_goes_on_with_it() -> None:
    """Not before."""
    stop = Stop()
    waiting = asyncio.create_task(stop.requested())
    await asyncio.sleep(0)
    was_done = waiting.done()

    stop.request(0)
    await asyncio.wait_for(waiting, 10)

    assert not was_done


async def test_a_request_ends_a_sleep() -> None:
    """Whoever sleeps does not keep the others waiting."""
    stop = Stop()
    sleeping = asyncio.create_task(stop.sleep(LONG))
    await asyncio.sleep(0)

    stop.request(0)

    await asyncio.wait_for(sleeping, 10)


async def test_a_sleep_ends_by_itself() -> None:
    """After its seconds, without a request."""
    stop = Stop()

    await asyncio.wait_for(stop.sleep(0.001), 10)

    assert not stop.is_requested


async def test_whoever_sleeps_may_be_cancelled() -> None:
    """Cancellation is no request."""
    stop = Stop()
    sleeping = asyncio.create_task(stop.sleep(LONG))
    await asyncio.sleep(0)

    sleeping.cancel()
    await asyncio.wait([sleeping])

    assert (sleeping.cancelled(), stop.is_requested) == (True, False)
