"""How much lanes take, and what they park."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from eventsource.bus.lanes import Lanes

Open = Callable[..., Awaitable[Lanes[str]]]
Admit = Callable[..., Awaitable[None]]
Idle = Callable[[], Awaitable[None]]


def counts(lanes: Lanes[str]) -> tuple[int, int]:
    """Return how many are unsettled, and how many of them parked."""
    return lanes.unsettled, lanes.parked


async def test_a_full_window_keeps_others_waiting(open_lanes: Open, admit: Admit, work: Any, idle: Idle) -> None:
    """A message is taken when another one is settled."""
    lanes = await open_lanes(window=2)
    await admit(lanes, "a1", "b1")
    admitting = asyncio.create_task(admit(lanes, "c1"))
    await idle()
    was_taken = admitting.done()

    work.succeed("a1")
    await admitting

    assert (was_taken, lanes.unsettled) == (False, 2)


async def test_lanes_tell_whether_there_is_room(open_lanes: Open, admit: Admit) -> None:
    """For any key, if nothing may be parked."""
    lanes = await open_lanes(window=2)
    had_room = [lanes.has_room("a")]

    for message in ("a1", "a2"):
        await admit(lanes, message)
        had_room.append(lanes.has_room("a"))

    assert had_room == [True, True, False]
    assert not lanes.has_room("b")


async def test_whoever_stops_waiting_for_room_has_admitted_nothing(
    open_lanes: Open, admit: Admit, work: Any, idle: Idle
) -> None:
    """Its message is not handled, and the place goes to the next one."""
    lanes = await open_lanes(window=1)
    await admit(lanes, "a1")
    impatient = asyncio.create_task(admit(lanes, "b1"))
    patient = asyncio.create_task(admit(lanes, "c1"))
    await idle()

    impatient.cancel()
    work.succeed("a1")
    await patient
    await work.saw("begin c1")
    work.succeed("c1")
    await lanes.drain()

    assert (impatient.cancelled(), work.times("begin b1"), lanes.unsettled) == (True, 0, 0)


async def test_a_lane_that_fills_half_the_window_leaves_room_for_others(open_lanes: Open, admit: Admit) -> None:
    """Its waiting messages are parked: there is room, although more than the window are unsettled."""
    lanes = await open_lanes(window=4, parking=10)
    await admit(lanes, "a1", "a2", "a3", "a4", "a5", "a6")

    await admit(lanes, "b1", "c1", "d1")

    assert counts(lanes) == (9, 5)
    assert [lanes.has_room(key) for key in "abe"] == [True, False, False]


async def test_a_short_lane_is_not_parked(open_lanes: Open, admit: Admit) -> None:
    """Less than half of the window is counted."""
    lanes = await open_lanes(window=6, parking=10)

    await admit(lanes, "a1", "a2", "b1", "b2", "c1", "c2")

    assert counts(lanes) == (6, 0)
    assert not lanes.has_room("a")


async def test_no_more_are_parked_than_there_is_parking_for(open_lanes: Open, admit: Admit) -> None:
    """What comes after that is counted."""
    lanes = await open_lanes(window=4, parking=3)

    await admit(lanes, *(f"a{number}" for number in range(7)))

    assert counts(lanes) == (7, 3)
    assert [lanes.has_room(key) for key in "ab"] == [False, False]


async def test_several_lanes_share_the_parking(open_lanes: Open, admit: Admit) -> None:
    """What one of them has parked, another one cannot."""
    lanes = await open_lanes(window=4, parking=3)

    await admit(lanes, "a1", "a2", "a3", "b1", "b2", "b3")

    assert counts(lanes) == (6, 3)


async def test_a_parked_message_is_handled_in_its_turn(open_lanes: Open, admit: Admit, work: Any) -> None:
    """In order, and nothing is counted at the end."""
    lanes = await open_lanes(window=2, parking=10)
    messages = ["a1", "a2", "a3", "a4"]
    await admit(lanes, *messages)

    for message in messages:
        await work.saw(f"begin {message}")
        work.succeed(message)
    await lanes.drain()

    assert [entry for entry in work.log if "settle" in entry] == [f"settle {message}" for message in messages]
    assert counts(lanes) == (0, 0)


@pytest.mark.parametrize("finished", [1, 2, 3, 4, 5])
async def test_no_more_than_the_waiting_are_parked(
    open_lanes: Open, admit: Admit, work: Any, idle: Idle, finished: int
) -> None:
    """As the lane gets shorter, so does what it has parked."""
    lanes = await open_lanes(window=2, parking=4)
    await admit(lanes, *(f"a{number}" for number in range(1, 6)))

    for number in range(1, finished + 1):
        await work.saw(f"begin a{number}")
        work.succeed(f"a{number}")
    await idle()

    assert counts(lanes) == (5 - finished, max(0, 4 - finished))


async def test_what_is_withdrawn_is_parked_no_more(open_lanes: Open, admit: Admit, work: Any) -> None:
    """Its parking is free for others."""
    lanes = await open_lanes(window=2, parking=3)
    await admit(lanes, "a1", "a2", "a3", "a4")
    await work.saw("begin a1")
    finishing = asyncio.create_task(lanes.finish(lambda message: message != "a2", patience=10, waiting=False))
    await asyncio.sleep(0)
    left = counts(lanes)

    work.succeed("a1")
    await work.saw("begin a2")
    await finishing

    assert left == (2, 1)
    assert counts(lanes) == (1, 0)
