# ruff: noqa: S101 - contracts assert, as tests do
"""What a dead-letter repository refuses."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias
from uuid import UUID

import pytest

from eventsource.projections.dead_letters.interface import DLQRepository
from eventsource.testing.dlq_repository_subject import VISITS, DLQRepositorySubject, add, entry_of
from eventsource.testing.events import Opened

Use: TypeAlias = Callable[[Any], Awaitable[object]]

HOOKS = {
    "add_failed_event": "_add_failed_event",
    "get_failed_events": "_get_failed_events",
    "get_failed_event_by_id": "_get_failed_event",
    "mark_resolved": "_mark_resolved",
    "resolve_failed_events": "_resolve_failed_events",
    "mark_retrying": "_mark_retrying",
    "get_failure_stats": "_get_failure_stats",
    "get_projection_failure_counts": "_get_failure_counts",
    "delete_resolved_events": "_delete_resolved_events",
}
EVENT_ID = UUID(int=1)
ERROR = ValueError("no such door")
WRONG_TYPES: dict[str, tuple[str, Use]] = {
    "add by text": (
        "event_id",
        lambda dead_letters: dead_letters.add_failed_event(str(EVENT_ID), VISITS, "Opened", "{}", ERROR),
    ),
    "add for nobody": (
        "projection_name",
        lambda dead_letters: dead_letters.add_failed_event(EVENT_ID, None, "Opened", "{}", ERROR),
    ),
    "add a class": (
        "event_type",
        lambda dead_letters: dead_letters.add_failed_event(EVENT_ID, VISITS, Opened, "{}", ERROR),
    ),
    "add a message": (
        "error",
        lambda dead_letters: dead_letters.add_failed_event(EVENT_ID, VISITS, "Opened", "{}", "no such door"),
    ),
    "add a class of errors": (
        "error",
        lambda dead_letters: dead_letters.add_failed_event(EVENT_ID, VISITS, "Opened", "{}", ValueError),
    ),
    "add text attempts": (
        "retry_count",
        lambda dead_letters: dead_letters.add_failed_event(EVENT_ID, VISITS, "Opened", "{}", ERROR, "3"),
    ),
    "add a header of bytes": (
        "headers",
        lambda dead_letters: add(dead_letters, headers={"request": b"7"}),
    ),
    "list by class": ("projection_name", lambda dead_letters: dead_letters.get_failed_events(Opened)),
    "list at most text": ("limit", lambda dead_letters: dead_letters.get_failed_events(limit="1")),
    "list at most half": ("limit", lambda dead_letters: dead_letters.get_failed_events(limit=0.5)),
    "get by text": ("dlq_id", lambda dead_letters: dead_letters.get_failed_event_by_id("1")),
    "resolve by text": ("dlq_id", lambda dead_letters: dead_letters.mark_resolved("1", "ann")),
    "resolve by nobody": ("resolved_by", lambda dead_letters: dead_letters.mark_resolved(1, None)),
    "resolve all of a class": (
        "projection_name",
        lambda dead_letters: dead_letters.resolve_failed_events(Opened, "ann"),
    ),
    "resolve all by nobody": (
        "resolved_by",
        lambda dead_letters: dead_letters.resolve_failed_events(VISITS, None),
    ),
    "retry by text": ("dlq_id", lambda dead_letters: dead_letters.mark_retrying("1")),
}
WRONG_VALUES: dict[str, tuple[str, Use]] = {
    "add for nothing": (
        "projection_name must not be empty",
        lambda dead_letters: add(dead_letters, projection_name=""),
    ),
    "list of nothing": (
        "projection_name must not be empty",
        lambda dead_letters: dead_letters.get_failed_events(""),
    ),
    "resolve by nobody": ("resolved_by must not be empty", lambda dead_letters: dead_letters.mark_resolved(1, "")),
    "resolve all of nothing": (
        "projection_name must not be empty",
        lambda dead_letters: dead_letters.resolve_failed_events("", "ann"),
    ),
    "resolve all by nobody": (
        "resolved_by must not be empty",
        lambda dead_letters: dead_letters.resolve_failed_events(VISITS, ""),
    ),
    "list of no status": (
        "status must be one of .*failed.*retrying.*resolved.*not 'open'",
        lambda dead_letters: dead_letters.get_failed_events(status="open"),
    ),
    "list less than none": (
        "limit must be 0 or more, not -1",
        lambda dead_letters: dead_letters.get_failed_events(limit=-1),
    ),
    "delete from tomorrow on": (
        "older_than_days must be 0 or more, not -1",
        lambda dead_letters: dead_letters.delete_resolved_events(-1),
    ),
}


class RefusingContract(DLQRepositorySubject):
    """What makes no sense is refused before anything is changed."""

    @pytest.mark.parametrize(("argument", "use"), WRONG_TYPES.values(), ids=WRONG_TYPES)
    async def test_arguments_of_another_type_are_refused(
        self, dead_letters: DLQRepository, argument: str, use: Use
    ) -> None:
        """The error names the argument; nothing is found, kept or marked."""
        before = await entry_of(dead_letters, await add(dead_letters))

        with pytest.raises(TypeError, match=f"{argument} must "):
            await use(dead_letters)

        assert await dead_letters.get_failed_events(status=None) == [before]

    @pytest.mark.parametrize(("message", "use"), WRONG_VALUES.values(), ids=WRONG_VALUES)
    async def test_values_without_a_meaning_are_refused(
        self, dead_letters: DLQRepository, message: str, use: Use
    ) -> None:
        """The error says what the value must be; nothing is found, kept, marked or deleted."""
        dlq_id = await add(dead_letters)
        await dead_letters.mark_resolved(dlq_id, "ann")
        before = await entry_of(dead_letters, dlq_id)

        with pytest.raises(ValueError, match=message):
            await use(dead_letters)

        assert await dead_letters.get_failed_events(status=None) == [before]

    @pytest.mark.parametrize(("method", "hook"), HOOKS.items())
    async def test_overriding_a_final_method_names_the_hook(
        self, dead_letters: DLQRepository, method: str, hook: str
    ) -> None:
        """Who overrides a public method learns at once what to implement instead."""
        with pytest.raises(TypeError, match=f"hook {hook} instead"):
            type("Overriding", (type(dead_letters),), {method: lambda self: None})
