"""Hearing of appends to a PostgreSQL that others make, and finding them without."""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from eventsource.databases.postgresql_options import PostgreSQLOptions
from eventsource.projections.runner import ProjectionRunner
from eventsource.stores.announcing import Wake
from eventsource.stores.postgresql import PostgreSQLEventStore
from eventsource.testing.events import DOOR, opened
from services.postgresql_sessions import Sessions
from services.postgresql_writers import PATIENCE
from services.wires import wire_to

LISTEN = "LISTEN%"


@pytest.fixture
def options(schema: str) -> PostgreSQLOptions:
    return PostgreSQLOptions(schema=schema)


@pytest.fixture
async def store(sessions: Sessions, options: PostgreSQLOptions) -> AsyncIterator[PostgreSQLEventStore]:
    """The one that is followed."""
    async with PostgreSQLEventStore(sessions.address, options=options) as store:
        yield store


@pytest.fixture
async def other(postgresql_dsn: str, options: PostgreSQLOptions) -> AsyncIterator[PostgreSQLEventStore]:
    """One on the same log that shares nothing with it, as that of another process."""
    async with PostgreSQLEventStore(postgresql_dsn, options=options) as other:
        yield other


async def settled(sessions: Sessions, wake: Wake) -> list[int]:
    """Return which sessions listen, once one does and has told that it has begun."""
    pids = await sessions.become(1, LISTEN)
    assert await wake.wait(PATIENCE)
    wake.clear()
    return pids


async def test_a_follower_is_woken_by_an_append_of_somebody_else(
    store: PostgreSQLEventStore, other: PostgreSQLEventStore, sessions: Sessions, door: UUID
) -> None:
    """Over another pool, so that nothing in this process tells it."""
    wake = Wake()
    async with store.following(wake):
        await settled(sessions, wake)
        await other.append_events(door, DOOR, opened(door, 1), 0)

        assert await wake.wait(PATIENCE)


async def test_an_append_to_another_log_wakes_nobody(
    store: PostgreSQLEventStore,
    other: PostgreSQLEventStore,
    postgresql_dsn: str,
    sessions: Sessions,
    door: UUID,
    schema: str,
) -> None:
    """Each schema has a channel of its own."""
    wake, options = Wake(), PostgreSQLOptions(schema=f"{schema}-other"[-63:])
    async with store.following(wake):
        await settled(sessions, wake)
        try:
            async with PostgreSQLEventStore(postgresql_dsn, options=options) as stranger:
                await stranger.append_events(door, DOOR, opened(door, 1), 0)
                await stranger.append_events(door, DOOR, opened(door, 1), 1)
        finally:
            await other._connected.write(f'DROP SCHEMA "{options.schema}" CASCADE')

        assert not await wake.wait(0.1)


async def test_all_followers_share_a_connection(
    store: PostgreSQLEventStore, other: PostgreSQLEventStore, sessions: Sessions, options: PostgreSQLOptions, door: UUID
) -> None:
    """Those of two stores that share their pool, too; it ends with the last of them."""
    wakes = [Wake() for _ in range(8)]
    async with AsyncExitStack() as last, PostgreSQLEventStore(sessions.address, options=options) as second:
        async with AsyncExitStack() as stack:
            await last.enter_async_context(store.following(wakes[0]))
            for number, wake in enumerate(wakes[1:]):
                await stack.enter_async_context((store, second)[number % 2].following(wake))
            listening = await settled(sessions, wakes[0])
            for wake in wakes:
                wake.clear()
            await other.append_events(door, DOOR, opened(door, 1), 0)
            woken = [await wake.wait(PATIENCE) for wake in wakes]
            still = await sessions.pids(LISTEN)
        left = await sessions.pids(LISTEN)

    assert (woken, still, left) == ([True] * 8, listening, listening)
    await sessions.become(0, LISTEN)


async def test_nobody_listens_unless_somebody_follows(
    store: PostgreSQLEventStore, sessions: Sessions, door: UUID
) -> None:
    """Appending and reading need no such connection; following again opens one again."""
    await store.append_events(door, DOOR, opened(door, 1), 0)
    before = await sessions.pids(LISTEN)
    for _ in range(2):
        wake = Wake()
        async with store.following(wake):
            await settled(sessions, wake)
        await sessions.become(0, LISTEN)

    assert before == []


async def test_a_connection_that_was_lost_is_opened_again(
    store: PostgreSQLEventStore, other: PostgreSQLEventStore, sessions: Sessions, door: UUID
) -> None:
    """Followers are woken once for what was not heard meanwhile, and by the next append."""
    wake = Wake()
    async with store.following(wake):
        lost = await settled(sessions, wake)
        await sessions.terminate(LISTEN)
        await other.append_events(door, DOOR, opened(door, 1), 0)
        again = await settled(sessions, wake)
        await other.append_events(door, DOOR, opened(door, 1), 1)

        assert await wake.wait(PATIENCE)
        assert lost != again


async def test_closing_ends_listening(sessions: Sessions, options: PostgreSQLOptions) -> None:
    """Nothing is left at the server when the block was left and the store closed."""
    async with PostgreSQLEventStore(sessions.address, options=options) as store:
        wake = Wake()
        async with store.following(wake):
            await settled(sessions, wake)

    await sessions.become(0)


@pytest.mark.parametrize("silent", ["listen", "notify"])
async def test_who_hears_nothing_finds_events_by_looking(
    sessions: Sessions,
    postgresql_dsn: str,
    options: PostgreSQLOptions,
    postgresql_place: Any,
    append: Callable[..., Awaitable[int]],
    runner_of: Callable[..., ProjectionRunner],
    silent: str,
) -> None:
    """Be it that the follower does not listen, or that whoever appends does not tell."""
    quiet = replace(options, **{silent: False})
    async with (
        PostgreSQLEventStore(sessions.address, options=quiet) as store,
        PostgreSQLEventStore(postgresql_dsn, options=quiet) as other,
        postgresql_place.view_of() as view,
        runner_of(store, view) as runner,
    ):
        for number in (1, 2):
            await runner.wait_for(await append(other, number), PATIENCE)

        assert await view.numbers() == [1, 2]
        assert bool(await sessions.pids(LISTEN)) == (silent == "notify")


async def test_an_append_that_does_not_tell_wakes_nobody(
    store: PostgreSQLEventStore, postgresql_dsn: str, options: PostgreSQLOptions, sessions: Sessions, door: UUID
) -> None:
    """It costs the less; the next one that tells wakes all."""
    wake = Wake()
    async with (
        PostgreSQLEventStore(postgresql_dsn, options=replace(options, notify=False)) as quiet,
        store.following(wake),
    ):
        await settled(sessions, wake)
        await quiet.append_events(door, DOOR, opened(door, 1), 0)

        assert not await wake.wait(0.1)


async def test_a_connection_that_is_opened_again_is_no_news(
    store: PostgreSQLEventStore, sessions: Sessions, caplog: pytest.LogCaptureFixture
) -> None:
    """Servers are started anew, and nothing is missed."""
    wake = Wake()
    with caplog.at_level(logging.WARNING):
        async with store.following(wake):
            await settled(sessions, wake)
            await sessions.terminate(LISTEN)
            await settled(sessions, wake)

    assert caplog.messages == []


async def test_a_server_that_cannot_be_reached_any_more_is_told_of(
    sessions: Sessions, options: PostgreSQLOptions, caplog: pytest.LogCaptureFixture, until: Callable[..., Any]
) -> None:
    """Whoever follows is not ended by that, and looks from then on."""
    wake = Wake()
    async with (
        wire_to(sessions.address) as (wire, address),
        PostgreSQLEventStore(address, options=options) as store,
        store.following(wake),
    ):
        await settled(sessions, wake)
        wire.break_off()
        await until(lambda: caplog.messages)

    assert "Not listening to PostgreSQL at 127.0.0.1" in caplog.messages[0]
