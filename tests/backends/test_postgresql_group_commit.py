"""Appends that wait for a PostgreSQL share its next call, and each gets its own answer."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeAlias
from uuid import UUID, uuid4

import pytest

from eventsource.databases.postgresql_options import PostgreSQLOptions
from eventsource.exceptions import DatabaseError, DuplicateEventError, OptimisticLockError
from eventsource.stores.postgresql import PostgreSQLEventStore
from eventsource.stores.values import AppendResult, ExpectedVersion
from eventsource.testing.events import DOOR, Opened, opened
from services.postgresql_appends import CALLS, Gate, append, appends, calls_under_way, group_under_way, outcomes, shared
from services.postgresql_writers import PATIENCE

Execute: TypeAlias = Callable[..., Awaitable[list[tuple[Any, ...]]]]
MakeGate: TypeAlias = Callable[[], Awaitable[Gate]]

MOST = 256
"""How many events go into a call that appends share."""

REFUSED: dict[str, dict[str, Any]] = {
    "a number that no column holds": {"event_version": 2**63},
    "a type longer than an index takes": {"aggregate_type": "".join(uuid4().hex for _ in range(200))},
}
"""What the driver and the server refuse."""


@pytest.fixture
async def store(postgresql_dsn: str, schema: str) -> AsyncIterator[PostgreSQLEventStore]:
    async with PostgreSQLEventStore(postgresql_dsn, options=PostgreSQLOptions(schema=schema)) as store:
        yield store


@pytest.fixture
def make_gate(store: PostgreSQLEventStore, schema: str, session: Callable[[], Awaitable[Any]]) -> MakeGate:
    """Make what lets no call through as long as it is closed, which it is inside the block."""

    async def make() -> Gate:
        return Gate(await session(), await session(), schema, Opened(aggregate_id=uuid4()))

    return make


@pytest.fixture
async def gate(make_gate: MakeGate) -> Gate:
    return await make_gate()


class TestSharing:
    async def test_a_lone_append_shares_with_nobody(self, store: PostgreSQLEventStore) -> None:
        """It does not wait for others to come."""
        assert await shared(appends(store, 3)) == [1]

    async def test_waiting_appends_share_a_call(self, store: PostgreSQLEventStore, gate: Gate) -> None:
        """All that came while the calls were under way, and in their order."""
        async with gate:
            under_way = await calls_under_way(store, gate)
            queued = appends(store, *[1] * 64)

        assert await shared([*under_way, *queued]) == [*[1] * CALLS, *[64] * 64]
        positions = [result.global_position for result in await outcomes(queued)]
        assert positions == list(range(positions[0], positions[0] + 64))

    async def test_appends_to_one_stream_go_one_after_the_other(
        self, store: PostgreSQLEventStore, gate: Gate, door: UUID
    ) -> None:
        """In the order in which they were asked for: each finds what the ones before it wrote."""
        async with gate:
            under_way = await calls_under_way(store, gate)
            queued = [append(store, opened(door, 2), ExpectedVersion.ANY) for _ in range(3)] + appends(store, 1)

        await outcomes(under_way)
        assert await shared(queued) == [1, 1, 2, 2]
        assert [result.new_version for result in await outcomes(queued[:3])] == [2, 4, 6]

    async def test_versions_that_are_expected_one_after_the_other_are_found(
        self, store: PostgreSQLEventStore, door: UUID
    ) -> None:
        """Though nobody waited for the append before."""
        events = opened(door, 10)

        appending = (store.append_events(door, DOOR, [event], version) for version, event in enumerate(events))
        results = await asyncio.gather(*appending)

        assert [result.new_version for result in results] == list(range(1, 11))

    async def test_streams_of_two_types_are_two(self, store: PostgreSQLEventStore, gate: Gate, door: UUID) -> None:
        """Though they have one id."""
        async with gate:
            under_way = await calls_under_way(store, gate)
            others = opened(door, 1, aggregate_type="Gate")
            queued = [append(store, opened(door, 1)), append(store, others)]

        await outcomes(under_way)
        assert [result.new_version for result in await outcomes(queued)] == [1, 1]
        assert await shared(queued) == [2, 2]

    async def test_appends_of_one_event_never_share(self, store: PostgreSQLEventStore, gate: Gate, door: UUID) -> None:
        """One of them writes it, and the other is told where it stands."""
        event = Opened(aggregate_id=uuid4())
        copied = event.model_copy(update={"aggregate_id": door})
        async with gate:
            under_way = await calls_under_way(store, gate)
            queued = [append(store, [event]), append(store, [copied]), *appends(store, 1)]

        await outcomes(under_way)
        *answers, other = await outcomes(queued)
        assert sorted(isinstance(answer, AppendResult) for answer in answers) == [False, True]
        assert DuplicateEventError in answers
        assert other.shared == 2

    async def test_a_call_is_not_shared_by_too_many_events(self, store: PostgreSQLEventStore, gate: Gate) -> None:
        """Those for whom there is no room go into the next one, and so do smaller ones behind them."""
        async with gate:
            under_way = await calls_under_way(store, gate)
            queued = appends(store, MOST - 6, 7, 6, 1)

        await outcomes(under_way)
        assert await shared(queued) == [1, 3, 3, 3]

    async def test_as_many_events_as_go_into_a_call_go_into_one(self, store: PostgreSQLEventStore, gate: Gate) -> None:
        """And not one less."""
        async with gate:
            under_way = await calls_under_way(store, gate)
            queued = appends(store, *[1] * (MOST + 1))

        await outcomes(under_way)
        assert await shared(queued) == [*[MOST] * MOST, 1]

    async def test_an_append_of_more_events_has_a_call_of_its_own(
        self, store: PostgreSQLEventStore, gate: Gate
    ) -> None:
        """It is written whole, wherever it stands in the queue."""
        async with gate:
            under_way = await calls_under_way(store, gate)
            queued = appends(store, 1, MOST + 1, 1, 3 * MOST)

        await outcomes(under_way)
        assert await shared(queued) == [1, 1, 1, 1]
        assert [result.new_version for result in await outcomes(queued)] == [1, MOST + 1, 1, 3 * MOST]

    async def test_two_stores_share_no_call(self, store: PostgreSQLEventStore, postgresql_dsn: str, gate: Gate) -> None:
        """Though they share the connections."""
        async with PostgreSQLEventStore(postgresql_dsn, options=store.options) as other:
            async with gate:
                under_way = await calls_under_way(store, gate)
                queued, alone = appends(store, 1, 1), appends(other, 1)

            assert await shared([*under_way, *queued, *alone]) == [1, 1, 2, 2, 1]


class TestAnswers:
    async def test_a_bad_append_harms_only_itself(self, store: PostgreSQLEventStore, gate: Gate, door: UUID) -> None:
        """Conflicts, repeats and duplicates get their answers from the call that writes the others."""
        known = opened(uuid4(), 2)
        await append(store, known)
        async with gate:
            under_way = await calls_under_way(store, gate)
            bad = [
                append(store, opened(door, 1), 5),
                append(store, opened(uuid4(), 1), ExpectedVersion.STREAM_EXISTS),
                append(store, [Opened(aggregate_id=door), Opened(aggregate_id=door, event_id=known[0].event_id)]),
            ]
            good = [append(store, known), *appends(store, 2, 1)]

        await outcomes(under_way)
        assert await outcomes(bad) == [OptimisticLockError, OptimisticLockError, DuplicateEventError]
        assert [result.new_version for result in await outcomes(good)] == [2, 2, 1]
        assert [result.repeated for result in await outcomes(good)] == [True, False, False]
        assert await store.get_stream_version(door, DOOR) == 0

    async def test_a_conflict_tells_the_version(self, store: PostgreSQLEventStore, gate: Gate, door: UUID) -> None:
        """That of its own stream, whoever else is in the group."""
        await append(store, opened(door, 3))
        async with gate:
            under_way = await calls_under_way(store, gate)
            good = appends(store, 1, 5)
            stale = append(store, opened(door, 1), 1)

        await outcomes([*under_way, *good])
        with pytest.raises(OptimisticLockError) as refused:
            await stale
        assert (refused.value.expected_version, refused.value.actual_version) == (1, 3)

    @pytest.mark.parametrize("bad", REFUSED.values(), ids=REFUSED)
    async def test_an_append_that_cannot_be_stored_harms_only_itself(
        self, store: PostgreSQLEventStore, gate: Gate, door: UUID, bad: dict[str, Any]
    ) -> None:
        """It makes the call fail, so that each is appended alone; nothing of the bad one is there."""
        async with gate:
            under_way = await calls_under_way(store, gate)
            before = appends(store, 1, 2)
            refused = append(store, [Opened(aggregate_id=door, **bad)])
            after = [append(store, opened(uuid4(), 1), 5), *appends(store, 3)]

        await outcomes(under_way)
        assert await outcomes([refused, after[0]]) == [DatabaseError, OptimisticLockError]
        assert await shared([*before, after[1]]) == [1, 1, 1]
        assert len(await store.read_page()) == CALLS + 1 + 2 + 3

    async def test_all_who_wait_too_long_are_told_at_once(self, postgresql_dsn: str, schema: str, gate: Gate) -> None:
        """And not one after the other, each having waited for itself."""
        options = PostgreSQLOptions(schema=schema, lock_timeout=0.3)
        async with PostgreSQLEventStore(postgresql_dsn, options=options) as impatient, gate:
            waiting = appends(impatient, *[1] * 200)

            assert await outcomes(waiting) == [DatabaseError] * 200

    async def test_those_behind_a_bad_append_do_not_wait_one_after_the_other(
        self, postgresql_dsn: str, schema: str, make_gate: MakeGate
    ) -> None:
        """When somebody takes the lock while each of a group is appended alone, all are told by the first."""
        gates = [await make_gate() for _ in range(2)]
        options = PostgreSQLOptions(schema=schema, lock_timeout=0.5)
        async with PostgreSQLEventStore(postgresql_dsn, options=options) as impatient:
            async with gates[0]:
                under_way = await calls_under_way(impatient, gates[0])
                refused = append(impatient, [Opened(aggregate_id=uuid4(), event_version=2**63)])
                queued = appends(impatient, *[1] * 100)
                closing = asyncio.create_task(gates[1].close())
                await gates[0].waiting(CALLS + 1)
            await outcomes(under_way)
            await closing

            answers = await outcomes([refused, *queued])
            await gates[1].open()

        assert answers == [DatabaseError] * 101


class TestCancellation:
    async def test_an_append_cancelled_while_queued_writes_nothing(
        self, store: PostgreSQLEventStore, gate: Gate
    ) -> None:
        """It is taken back; what is queued around it is written."""
        async with gate:
            under_way = await calls_under_way(store, gate)
            before, cancelled, after = appends(store, 1, 1, 1)
            await asyncio.sleep(0)
            cancelled.cancel()

        assert await shared([*under_way, before, after]) == [1, 1, 2, 2]
        assert cancelled.cancelled()
        assert len(await store.read_page()) == CALLS + 2

    async def test_an_append_cancelled_in_a_group_under_way_is_written(
        self, store: PostgreSQLEventStore, make_gate: MakeGate
    ) -> None:
        """It is too late to take it back; its caller is gone at once, and the others get their answers."""
        async with group_under_way(store, make_gate, 3) as (_, group):
            group[0].cancel()
            gone = await outcomes(group[:1])

        assert gone == [asyncio.CancelledError]
        assert await shared(group[1:]) == [3, 3]
        assert len(await store.read_page()) == CALLS + 3


class TestLostConnections:
    async def test_a_group_whose_connection_ends_is_sent_again(
        self, store: PostgreSQLEventStore, make_gate: MakeGate
    ) -> None:
        """On another one; everybody is answered, and everything stands once."""
        async with group_under_way(store, make_gate, 16) as (gate, group):
            await gate.terminate(1)
            await gate.waiting(1)

        assert await shared(group) == [16] * 16
        assert len(await store.read_page()) == CALLS + 16

    async def test_a_group_that_loses_two_connections_is_told_so(
        self, store: PostgreSQLEventStore, make_gate: MakeGate
    ) -> None:
        """Nobody waits for ever, and the next append is served."""
        async with group_under_way(store, make_gate, 16) as (gate, group):
            await gate.terminate(1)
            await gate.terminate(1)
            results = await asyncio.wait_for(asyncio.gather(*group, return_exceptions=True), PATIENCE)

        assert {type(result) for result in results} == {DatabaseError}
        assert all("it is not known whether anything was written" in str(result) for result in results)
        assert await shared(appends(store, 1)) == [1]

    async def test_what_is_queued_behind_a_lost_call_is_written(self, store: PostgreSQLEventStore, gate: Gate) -> None:
        """It gets a connection of its own."""
        async with gate:
            under_way = await calls_under_way(store, gate)
            queued = appends(store, *[1] * 8)
            await gate.terminate(CALLS)
            await gate.terminate(CALLS)
            lost = await outcomes(under_way)

        assert lost == [DatabaseError] * CALLS
        assert {type(result) for result in await outcomes(queued)} == {AppendResult}
        assert len(await store.read_page()) == 8
