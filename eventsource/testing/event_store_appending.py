# ruff: noqa: S101 - contracts assert, as tests do
"""What appending to an event store promises."""

from typing import Any
from uuid import UUID, uuid4

import pytest

from eventsource.exceptions import ForeignEventError, OptimisticLockError
from eventsource.stores.interface import EventStore
from eventsource.stores.values import AppendResult, ExpectedVersion
from eventsource.testing.event_store_subject import EventStoreSubject, assert_empty, ids, stored_of, stream_of
from eventsource.testing.events import DOOR, Opened, opened

HOOKS = {
    "append_events": "_append",
    "get_events": "_get_events",
    "read_page": "_read_page",
    "read_stream": "_read_page",
    "read_all": "_read_page",
    "get_events_by_type": "_read_page",
    "event_exists": "_event_exists",
    "get_stream_version": "_get_stream_version",
    "get_global_position": "_get_global_position",
}


class AppendingContract(EventStoreSubject):
    """Appending: expected versions, versions counted by the store, refusals that write nothing."""

    async def test_an_append_returns_the_new_version_and_position(self, store: EventStore, door: UUID) -> None:
        """A fresh store's first three events make version and position 3."""
        result = await store.append_events(door, DOOR, opened(door, 3), 0)

        assert result == AppendResult(success=True, new_version=3, global_position=3)
        assert not result.repeated

    async def test_no_events_change_nothing(self, store: EventStore, door: UUID) -> None:
        """An append of nothing succeeds whatever is expected, and echoes it."""
        result = await store.append_events(door, DOOR, [], ExpectedVersion.ANY)

        assert result == AppendResult.successful(ExpectedVersion.ANY)
        await assert_empty(store, door)

    async def test_appends_follow_one_another(self, store: EventStore, door: UUID) -> None:
        """A writer that knows the version appends behind what is there."""
        first, second, third = opened(door, 3)
        await store.append_events(door, DOOR, [first, second], 0)

        result = await store.append_events(door, DOOR, [third], 2)

        assert result.new_version == 3
        assert ids((await store.get_events(door, DOOR)).events) == ids([first, second, third])

    @pytest.mark.parametrize("expected", [0, 1, 3])
    async def test_a_stale_writer_loses(self, store: EventStore, door: UUID, expected: int) -> None:
        """A conflict writes nothing and says what was expected and what is there."""
        first, second, late = opened(door, 3)
        await store.append_events(door, DOOR, [first, second], 0)

        with pytest.raises(OptimisticLockError) as conflict:
            await store.append_events(door, DOOR, [late], expected)

        error = conflict.value
        assert (error.aggregate_id, error.expected_version, error.actual_version) == (door, expected, 2)
        assert ids((await store.get_events(door, DOOR)).events) == ids([first, second])
        assert not await store.event_exists(late.event_id)

    async def test_a_conflict_writes_none_of_several_events(self, store: EventStore, door: UUID) -> None:
        """An append is all or nothing."""
        first, *late = opened(door, 4)
        await store.append_events(door, DOOR, [first], 0)

        with pytest.raises(OptimisticLockError):
            await store.append_events(door, DOOR, late, 0)

        assert await store.get_global_position() == 1
        assert await store.get_stream_version(door, DOOR) == 1

    async def test_a_refused_event_can_be_appended_later(self, store: EventStore, door: UUID) -> None:
        """After a conflict the same event, appended at the right version, is stored."""
        first, late = opened(door, 2)
        await store.append_events(door, DOOR, [first], 0)
        with pytest.raises(OptimisticLockError):
            await store.append_events(door, DOOR, [late], 0)

        result = await store.append_events(door, DOOR, [late], 1)

        assert result.new_version == 2
        assert not result.repeated

    async def test_any_appends_to_whatever_is_there(self, store: EventStore, door: UUID) -> None:
        """ANY expects nothing, of a new stream or of an old one."""
        first, second = opened(door, 2)

        await store.append_events(door, DOOR, [first], ExpectedVersion.ANY)
        result = await store.append_events(door, DOOR, [second], ExpectedVersion.ANY)

        assert result.new_version == 2

    async def test_no_stream_refuses_a_stream_with_events(self, store: EventStore, door: UUID) -> None:
        """NO_STREAM lets only the first append in."""
        first, second = opened(door, 2)
        await store.append_events(door, DOOR, [first], ExpectedVersion.NO_STREAM)

        with pytest.raises(OptimisticLockError):
            await store.append_events(door, DOOR, [second], ExpectedVersion.NO_STREAM)

        assert await store.get_stream_version(door, DOOR) == 1

    async def test_stream_exists_refuses_a_stream_without_events(self, store: EventStore, door: UUID) -> None:
        """STREAM_EXISTS does not begin a stream, though another type's stream of that id exists."""
        gate = Opened(aggregate_id=door, aggregate_type="Gate")
        await store.append_events(door, "Gate", [gate], 0)

        with pytest.raises(OptimisticLockError) as conflict:
            await store.append_events(door, DOOR, opened(door, 1), ExpectedVersion.STREAM_EXISTS)

        assert (conflict.value.expected_version, conflict.value.actual_version) == (ExpectedVersion.STREAM_EXISTS, 0)
        assert await store.get_stream_version(door, DOOR) == 0

    async def test_stream_exists_appends_to_a_stream_with_events(self, store: EventStore, door: UUID) -> None:
        """STREAM_EXISTS expects any version but none."""
        first, second = opened(door, 2)
        await store.append_events(door, DOOR, [first], 0)

        result = await store.append_events(door, DOOR, [second], ExpectedVersion.STREAM_EXISTS)

        assert result.new_version == 2

    async def test_an_expectation_that_means_nothing_is_refused(self, store: EventStore, door: UUID) -> None:
        """Below STREAM_EXISTS there is no expected version."""
        with pytest.raises(ValueError, match="expected_version"):
            await store.append_events(door, DOOR, opened(door, 1), -3)

        await assert_empty(store, door)

    async def test_the_store_counts_the_versions(self, store: EventStore, door: UUID) -> None:
        """What version an event carries on the way in is advice; read back it carries the one it has."""
        events = [event.with_aggregate_version(7) for event in opened(door, 3)]

        await store.append_events(door, DOOR, events, 0)

        stored = await stored_of(store.read_stream(stream_of(door)))
        assert [each.event.aggregate_version for each in stored] == [1, 2, 3]
        assert [each.stream_position for each in stored] == [1, 2, 3]
        assert [event.aggregate_version for event in events] == [7, 7, 7]

    @pytest.mark.parametrize("carried", [0, -1])
    async def test_a_version_that_no_event_has_counts_for_nothing(
        self, store: EventStore, door: UUID, carried: int
    ) -> None:
        """An event that carries a version below 1 is stored, read back and repeated like any other."""
        events = [event.with_aggregate_version(carried) for event in opened(door, 2)]

        await store.append_events(door, DOOR, events, 0)
        again = await store.append_events(door, DOOR, events, 0)

        read = (await store.get_events(door, DOOR)).events
        assert read == [event.with_aggregate_version(version) for version, event in enumerate(events, 1)]
        assert again.repeated

    async def test_streams_of_one_id_are_counted_by_type(self, store: EventStore, door: UUID) -> None:
        """Id and type together make a stream."""
        gate = Opened(aggregate_id=door, aggregate_type="Gate")
        await store.append_events(door, DOOR, opened(door, 2), 0)

        result = await store.append_events(door, "Gate", [gate], 0)

        assert result == AppendResult(success=True, new_version=1, global_position=3)
        assert await store.get_stream_version(door, DOOR) == 2
        assert await store.get_stream_version(door, "Gate") == 1

    async def test_an_event_of_another_aggregate_is_refused(self, store: EventStore, door: UUID) -> None:
        """One foreign event keeps out its whole append."""
        stranger = Opened(aggregate_id=uuid4())

        with pytest.raises(ForeignEventError) as refused:
            await store.append_events(door, DOOR, [*opened(door, 1), stranger], 0)

        assert refused.value.event_id == stranger.event_id
        await assert_empty(store, door)
        await assert_empty(store, stranger.aggregate_id)

    async def test_an_event_of_another_type_is_refused(self, store: EventStore, door: UUID) -> None:
        """An event that names another aggregate type is foreign too."""
        gate = Opened(aggregate_id=door, aggregate_type="Gate")

        with pytest.raises(ForeignEventError):
            await store.append_events(door, DOOR, [*opened(door, 1), gate], 0)

        await assert_empty(store, door)

    async def test_headers_are_kept_beside_the_events(self, store: EventStore, door: UUID) -> None:
        """Each event of the append has them; the event itself is as it was."""
        headers = {"request-id": "r-1", "grüße": "日本 \U0001f6aa"}
        events = opened(door, 2)

        await store.append_events(door, DOOR, events, 0, headers=headers)

        stored = await stored_of(store.read_all())
        assert [dict(each.headers) for each in stored] == [headers, headers]
        assert [each.event.metadata for each in stored] == [{}, {}]

    async def test_headers_are_those_of_the_append(self, store: EventStore, door: UUID) -> None:
        """What the caller does with its mapping afterwards changes nothing; without headers there are none."""
        first, second = opened(door, 2)
        headers = {"request-id": "r-1"}

        await store.append_events(door, DOOR, [first], 0, headers=headers)
        headers["request-id"] = "r-2"
        await store.append_events(door, DOOR, [second], 1)

        stored = await stored_of(store.read_stream(stream_of(door)))
        assert [dict(each.headers) for each in stored] == [{"request-id": "r-1"}, {}]

    async def test_headers_that_are_no_strings_are_refused(self, store: EventStore, door: UUID) -> None:
        """A header is a string with a string for a name."""
        wrong: Any = {"attempt": 1}

        with pytest.raises(TypeError, match="headers"):
            await store.append_events(door, DOOR, opened(door, 1), 0, headers=wrong)

        await assert_empty(store, door)

    async def test_an_id_that_is_no_uuid_is_refused(self, store: EventStore, door: UUID) -> None:
        """The text of a UUID is none."""
        text: Any = str(door)

        with pytest.raises(TypeError, match="UUID"):
            await store.append_events(text, DOOR, opened(door, 1), 0)

        await assert_empty(store, door)

    async def test_an_empty_type_is_refused(self, store: EventStore, door: UUID) -> None:
        """A stream without a type could not be named."""
        with pytest.raises(ValueError, match="aggregate_type"):
            await store.append_events(door, "", [Opened(aggregate_id=door, aggregate_type="")], 0)

        assert await store.get_global_position() == 0

    async def test_an_event_exists_once_it_is_appended(self, store: EventStore, door: UUID) -> None:
        """An id is known as soon as its append has succeeded, and never before."""
        known, unknown = opened(door, 2)

        await store.append_events(door, DOOR, [known], 0)

        assert await store.event_exists(known.event_id)
        assert not await store.event_exists(unknown.event_id)

    @pytest.mark.parametrize(("method", "hook"), HOOKS.items())
    async def test_overriding_a_final_method_names_the_hook(self, store: EventStore, method: str, hook: str) -> None:
        """Who overrides a public method learns at once what to implement instead."""
        with pytest.raises(TypeError, match=f"hook {hook} instead"):
            type("Overriding", (type(store),), {method: lambda self: None})
