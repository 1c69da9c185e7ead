"""The spans of checkpoint and dead-letter repositories."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeAlias
from uuid import UUID, uuid4

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanKind, StatusCode

from eventsource import (
    CheckpointConflictError,
    InMemoryCheckpointRepository,
    InMemoryDLQRepository,
    SQLiteCheckpointRepository,
    SQLiteDLQRepository,
)
from eventsource_instrumentation.instrumentor import instrumented
from eventsource_instrumentation.recording import RecordedSpans, Recording

IN_MEMORY = {"db.system.name": "memory", "db.system": "memory"}
OPENINGS = {"eventsource.projection.name": "openings"}
ADD = "eventsource.dlq.add"
SAVE_POSITION = "eventsource.checkpoint.save_position"

Move: TypeAlias = Callable[[InMemoryCheckpointRepository, UUID], Awaitable[object]]
MOVES: dict[str, tuple[Move, dict[str, Any]]] = {
    "get_checkpoint": (lambda repository, _: repository.get_checkpoint("openings"), OPENINGS),
    "get_all_checkpoints": (lambda repository, _: repository.get_all_checkpoints(), {}),
    "update_checkpoint": (lambda repository, event: repository.update_checkpoint("openings", event, "O"), OPENINGS),
    "save_position": (
        lambda repository, event: repository.save_position("openings", 7, event, "O"),
        {**OPENINGS, "eventsource.position": 7},
    ),
    "reset_checkpoint": (lambda repository, _: repository.reset_checkpoint("openings"), OPENINGS),
}

Look: TypeAlias = Callable[[InMemoryDLQRepository], Awaitable[object]]
LOOKS: dict[str, tuple[Look, dict[str, Any]]] = {
    "get": (lambda repository: repository.get_failed_events("openings"), {**OPENINGS, "eventsource.event.count": 1}),
    "get_by_id": (lambda repository: repository.get_failed_event_by_id(1), {}),
    "resolve": (lambda repository: repository.mark_resolved(1, "hand"), {}),
    "retry": (lambda repository: repository.mark_retrying(1), {}),
    "get_stats": (lambda repository: repository.get_failure_stats(), {}),
    "get_projection_counts": (lambda repository: repository.get_projection_failure_counts(), {}),
    "delete_resolved": (lambda repository: repository.delete_resolved_events(0), {"eventsource.event.count": 0}),
}


@pytest.fixture
def add(dead_letters: InMemoryDLQRepository, door: UUID) -> Callable[[], Awaitable[int]]:
    """Keeps an event that failed three times."""

    async def add_one() -> int:
        return await dead_letters.add_failed_event(door, "openings", "Opened", {}, ValueError("stuck"), 3)

    return add_one


class TestCheckpoints:
    @pytest.mark.parametrize(("name", "move", "attributes"), [(name, *each) for name, each in MOVES.items()], ids=MOVES)
    async def test_inside_a_recorded_span_there_is_one(
        self,
        name: str,
        move: Move,
        attributes: dict[str, Any],
        checkpoints: InMemoryCheckpointRepository,
        door: UUID,
        eventsource_spans: RecordedSpans,
    ) -> None:
        """Its child, which tells of which projection and where."""
        with eventsource_spans.provider.get_tracer("here").start_as_current_span("request"):
            await move(checkpoints, door)

        span = eventsource_spans.one(f"eventsource.checkpoint.{name}")
        assert span.kind is SpanKind.INTERNAL
        assert dict(span.attributes or {}) == {**attributes, **IN_MEMORY}
        assert eventsource_spans.chain(span) == ["request", span.name]

    @pytest.mark.parametrize("move", [move for move, _ in MOVES.values()], ids=MOVES)
    async def test_by_itself_there_is_none(
        self, move: Move, checkpoints: InMemoryCheckpointRepository, door: UUID, eventsource_spans: RecordedSpans
    ) -> None:
        """Runners look at their checkpoints again and again."""
        await move(checkpoints, door)

        assert eventsource_spans.names == []

    async def test_inside_a_span_that_is_not_recorded_there_is_none(
        self, checkpoints: InMemoryCheckpointRepository, door: UUID, recording: Recording
    ) -> None:
        """Nobody would see whose it is."""
        unsampled = TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False)

        with (
            instrumented(tracer_provider=recording.spans.provider),
            unsampled.get_tracer("here").start_as_current_span("request"),
        ):
            await checkpoints.save_position("openings", 7, door, "Opened")

        assert recording.spans.names == []

    async def test_leases_have_none(
        self, checkpoints: InMemoryCheckpointRepository, eventsource_spans: RecordedSpans
    ) -> None:
        """They are renewed for ever."""
        with eventsource_spans.provider.get_tracer("here").start_as_current_span("request"):
            await checkpoints.acquire_lease("openings", "somebody", 10)
            await checkpoints.release_lease("openings", "somebody")

        assert eventsource_spans.names == ["request"]

    async def test_a_conflict_is_an_error(
        self, checkpoints: InMemoryCheckpointRepository, door: UUID, eventsource_spans: RecordedSpans
    ) -> None:
        """Somebody else has moved the checkpoint."""
        with (
            eventsource_spans.provider.get_tracer("here").start_as_current_span("request"),
            pytest.raises(CheckpointConflictError),
        ):
            await checkpoints.save_position("openings", 7, door, "Opened", expected=3)

        span = eventsource_spans.one(SAVE_POSITION)
        assert span.status.status_code is StatusCode.ERROR
        assert (span.attributes or {})["error.type"] == "CheckpointConflictError"

    async def test_a_file_is_named(self, tmp_path: Path, door: UUID, eventsource_spans: RecordedSpans) -> None:
        """By its name, and the system is another one."""
        async with SQLiteCheckpointRepository(tmp_path / "doors.db") as repository:
            with eventsource_spans.provider.get_tracer("here").start_as_current_span("request"):
                await repository.save_position("openings", 7, door, "Opened")

        attributes = eventsource_spans.one(SAVE_POSITION).attributes or {}
        assert (attributes["db.system.name"], attributes["db.system"]) == ("sqlite", "sqlite")
        assert attributes["db.namespace"] == repository.namespace

    async def test_a_repository_that_wants_none_has_none(self, door: UUID, eventsource_spans: RecordedSpans) -> None:
        """Inside a recorded span neither."""
        with eventsource_spans.provider.get_tracer("here").start_as_current_span("request"):
            await InMemoryCheckpointRepository(enable_tracing=False).save_position("openings", 7, door, "Opened")

        assert eventsource_spans.names == ["request"]


class TestDeadLetters:
    async def test_keeping_one(
        self, add: Callable[[], Awaitable[int]], door: UUID, eventsource_spans: RecordedSpans
    ) -> None:
        """With the event, what it failed with, and how often; that it could be kept is no error."""
        await add()

        span = eventsource_spans.one(ADD)
        assert span.kind is SpanKind.INTERNAL
        assert span.status.is_unset
        assert dict(span.attributes or {}) == {
            **OPENINGS,
            "eventsource.event.type": "Opened",
            "eventsource.event.id": str(door),
            "eventsource.retry.count": 3,
            "eventsource.error.type": "ValueError",
            **IN_MEMORY,
        }

    @pytest.mark.parametrize(("name", "look", "attributes"), [(name, *each) for name, each in LOOKS.items()], ids=LOOKS)
    async def test_looking_after_them(
        self,
        name: str,
        look: Look,
        attributes: dict[str, Any],
        dead_letters: InMemoryDLQRepository,
        add: Callable[[], Awaitable[int]],
        eventsource_spans: RecordedSpans,
    ) -> None:
        """Each thing that can be done has a span, inside another one or not."""
        await add()
        eventsource_spans.clear()

        await look(dead_letters)

        span = eventsource_spans.one(f"eventsource.dlq.{name}")
        assert eventsource_spans.names == [span.name]
        assert dict(span.attributes or {}) == {**attributes, **IN_MEMORY}

    async def test_resolving_all_of_them_is_one_span(
        self, dead_letters: InMemoryDLQRepository, eventsource_spans: RecordedSpans
    ) -> None:
        """A rebuild with many dead letters makes no more than that; it tells whose, and how many."""
        for _ in range(3):
            await dead_letters.add_failed_event(uuid4(), "openings", "Opened", {}, ValueError("stuck"))
        eventsource_spans.clear()

        await dead_letters.resolve_failed_events("openings", "hand")

        span = eventsource_spans.one("eventsource.dlq.resolve")
        assert eventsource_spans.names == [span.name]
        assert dict(span.attributes or {}) == {**OPENINGS, "eventsource.event.count": 3, **IN_MEMORY}

    async def test_a_reset_with_many_of_them_has_one_span_for_all(
        self,
        dead_letters: InMemoryDLQRepository,
        openings: Callable[..., Any],
        eventsource_spans: RecordedSpans,
    ) -> None:
        """They are not resolved one by one."""
        for _ in range(3):
            await dead_letters.add_failed_event(uuid4(), "openings", "Opened", {}, ValueError("stuck"))
        eventsource_spans.clear()

        await openings(dlq_repo=dead_letters, name="openings").reset()

        assert [name for name in eventsource_spans.names if ".dlq." in name] == ["eventsource.dlq.resolve"]

    async def test_those_of_all_projections_have_no_name(
        self, dead_letters: InMemoryDLQRepository, eventsource_spans: RecordedSpans
    ) -> None:
        """Nobody asked for one projection."""
        await dead_letters.get_failed_events()

        attributes = eventsource_spans.one("eventsource.dlq.get").attributes or {}
        assert dict(attributes) == {"eventsource.event.count": 0, **IN_MEMORY}

    async def test_a_file_is_named(self, tmp_path: Path, door: UUID, eventsource_spans: RecordedSpans) -> None:
        """By its name, and the system is another one."""
        async with SQLiteDLQRepository(tmp_path / "doors.db") as repository:
            await repository.add_failed_event(door, "openings", "Opened", {}, ValueError("stuck"))

        attributes = eventsource_spans.one(ADD).attributes or {}
        assert (attributes["db.system.name"], attributes["db.system"]) == ("sqlite", "sqlite")
        assert attributes["db.namespace"] == repository.namespace

    async def test_a_repository_that_wants_none_has_none(self, door: UUID, eventsource_spans: RecordedSpans) -> None:
        """The switch is the repository's."""
        repository = InMemoryDLQRepository(enable_tracing=False)

        await repository.add_failed_event(door, "openings", "Opened", {}, ValueError("stuck"))

        assert eventsource_spans.names == []
