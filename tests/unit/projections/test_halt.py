"""Asking a runner to stop, to pause, or to look at its checkpoint again."""

import asyncio
from collections.abc import Callable

import pytest

from eventsource.projections.halt import Halt
from eventsource.stores.announcing import Wake

LONG = 3600.0


@pytest.fixture
async def wake() -> Wake:
    """What whoever runs waits for."""
    return Wake()


@pytest.fixture
async def halt(wake: Wake) -> Halt:
    """One of which nothing was asked."""
    return Halt(wake)


ASKING: dict[str, Callable[[Halt], None]] = {"stop": Halt.stop, "interrupt": Halt.interrupt, "pause": Halt.pause}


async def test_nothing_is_wanted_at_first(halt: Halt) -> None:
    """Whoever runs goes on."""
    assert (halt.is_wanted, halt.is_ending) == (False, False)


@pytest.mark.parametrize(("asked", "is_ending"), [("stop", True), ("interrupt", True), ("pause", False)])
async def test_no_event_is_begun_once_it_was_asked_for(halt: Halt, asked: str, is_ending: bool) -> None:
    """After a pause whoever has the lease keeps it."""
    ASKING[asked](halt)

    assert (halt.is_wanted, halt.is_ending) == (True, is_ending)


async def test_a_stop_is_for_good(halt: Halt) -> None:
    """Nothing takes it back."""
    halt.stop()

    halt.clear_interruption()
    halt.resume()

    assert (halt.is_wanted, halt.is_ending) == (True, True)


async def test_an_interruption_ends_when_it_was_heeded(halt: Halt) -> None:
    """A pause does not end with it."""
    halt.interrupt()
    halt.pause()

    halt.clear_interruption()

    assert (halt.is_wanted, halt.is_ending, halt.is_paused) == (True, False, True)


async def test_a_pause_ends_when_it_is_told_to(halt: Halt) -> None:
    """An interruption does not end with it."""
    halt.interrupt()
    halt.pause()

    halt.resume()

    assert (halt.is_paused, halt.is_interrupted) == (False, True)


@pytest.mark.parametrize("asked", ["stop", "interrupt", "pause", "resume"])
async def test_whoever_waits_is_woken(halt: Halt, wake: Wake, asked: str) -> None:
    """Also by the end of a pause."""
    getattr(halt, asked)()

    assert await wake.wait(0)


class TestSleep:
    async def test_it_ends_by_itself(self, halt: Halt) -> None:
        """And says to go on."""
        assert await halt.sleep(0.001)

    @pytest.mark.parametrize("asked", ASKING)
    async def test_it_ends_as_soon_as_a_halt_is_wanted(self, halt: Halt, asked: str) -> None:
        """And says not to go on."""
        sleeping = asyncio.create_task(halt.sleep(LONG))
        await asyncio.sleep(0)

        ASKING[asked](halt)

        async with asyncio.timeout(20):
            assert not await sleeping

    @pytest.mark.parametrize("asked", ASKING)
    async def test_it_does_not_begin_where_a_halt_is_wanted(self, halt: Halt, asked: str) -> None:
        """Not even for no time."""
        ASKING[asked](halt)

        assert [await halt.sleep(LONG), await halt.sleep(0)] == [False, False]

    async def test_an_append_does_not_end_it(self, halt: Halt, wake: Wake) -> None:
        """A back-off is not for what comes next."""
        sleeping = asyncio.create_task(halt.sleep(LONG))
        for _ in range(3):
            await asyncio.sleep(0)
            wake.now()
        await asyncio.sleep(0)

        assert not sleeping.done()

        halt.stop()
        await sleeping
