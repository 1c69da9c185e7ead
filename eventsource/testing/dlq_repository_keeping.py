# ruff: noqa: S101 - contracts assert, as tests do
"""What a dead-letter repository promises about keeping an event with the reason of its failure."""

import asyncio
import json
from datetime import timedelta
from uuid import uuid4

import pytest

from eventsource.projections.dead_letters.interface import DLQRepository
from eventsource.projections.dead_letters.values import DLQEntry
from eventsource.testing.dlq_repository_subject import OPEN_DOORS, VISITS, DLQRepositorySubject, add, entry_of
from eventsource.testing.events import Opened

TASKS = 32
CHARACTERS = "größe 日本 \U0001f6aa \u0000 \u2028 \"quoted\" \\ 'single'"
TEXTS = {
    "JSON": '{"a": 1,  "b": [true, null]}',
    "something else": "{ no JSON",
    "nothing": "",
    "all kinds of characters": CHARACTERS,
}


class DoorJammedError(Exception):
    """What a handler raises."""


class SpeechlessError(Exception):
    """An error that cannot say what is wrong."""

    def __str__(self) -> str:
        """Fail, as the method of a careless author does."""
        raise LookupError("no words")


class KeepingContract(DLQRepositorySubject):
    """An event that failed has one entry for each projection, which tells all that somebody needs who sees to it."""

    async def test_a_failed_event_is_kept_with_the_reason(self, dead_letters: DLQRepository, event: Opened) -> None:
        """The entry tells event, projection, error and time, in UTC."""
        error = raised(DoorJammedError("the door is jammed"))
        data = event.model_dump_json()

        dlq_id = await dead_letters.add_failed_event(
            event.event_id, VISITS, event.event_type, data, error, 3, headers={"request": "7"}
        )

        entry = await entry_of(dead_letters, dlq_id)
        assert entry.first_failed_at
        assert entry.first_failed_at.utcoffset() == timedelta(0)
        assert entry == DLQEntry(
            dlq_id,
            event.event_id,
            VISITS,
            event.event_type,
            data,
            "the door is jammed",
            entry.error_stacktrace,
            3,
            entry.first_failed_at,
            entry.first_failed_at,
            error_type="DoorJammedError",
            headers={"request": "7"},
        )
        assert entry.status == "failed"

    async def test_ids_begin_at_1(self, dead_letters: DLQRepository) -> None:
        """Each entry has one of its own, and later ones have higher ones."""
        ids = [await add(dead_letters) for _ in range(4)]

        assert ids[0] == 1
        assert ids == sorted(set(ids))

    async def test_an_entry_that_nobody_knows_is_none(self, dead_letters: DLQRepository) -> None:
        """Asking for it is no error."""
        dlq_id = await add(dead_letters)

        assert [await dead_letters.get_failed_event_by_id(each) for each in (-1, 0, dlq_id + 1)] == [None] * 3

    async def test_data_may_be_given_as_values(self, dead_letters: DLQRepository, event: Opened) -> None:
        """They are kept as JSON text, those too that only pydantic can write."""
        dlq_id = await add(dead_letters, event, event_data=event.model_dump())

        entry = await entry_of(dead_letters, dlq_id)
        assert json.loads(entry.event_data) == event.to_dict()
        assert Opened.model_validate_json(entry.event_data) == event

    @pytest.mark.parametrize("data", TEXTS.values(), ids=TEXTS)
    async def test_data_may_be_given_as_text(self, dead_letters: DLQRepository, data: str) -> None:
        """It is kept as it is, though nobody can read it: that may be why it failed."""
        dlq_id = await add(dead_letters, event_data=data)

        assert (await entry_of(dead_letters, dlq_id)).event_data == data.replace("\0", self.nul)

    @pytest.mark.parametrize(
        "headers",
        [{}, None, {"request": "7", "": "", "größe": "日本 \U0001f6aa \u0000"}],
        ids=["empty", "none", "some"],
    )
    async def test_headers_survive(self, dead_letters: DLQRepository, headers: dict[str, str] | None) -> None:
        """What stood beside the event is kept beside its data."""
        dlq_id = await add(dead_letters, headers=headers)

        assert (await entry_of(dead_letters, dlq_id)).headers == (headers or {})

    async def test_headers_that_are_changed_later_are_kept_as_they_were(self, dead_letters: DLQRepository) -> None:
        """The entry has a copy."""
        headers = {"request": "7"}
        dlq_id = await add(dead_letters, headers=headers)

        headers["request"] = "8"

        assert (await entry_of(dead_letters, dlq_id)).headers == {"request": "7"}

    async def test_the_stack_is_that_of_the_error(self, dead_letters: DLQRepository) -> None:
        """It tells where the error was raised, wherever it is kept and whatever else is being handled there."""
        error = raised(DoorJammedError("the door is jammed"))
        try:
            raise LookupError("another error")
        except LookupError:
            dlq_id = await add(dead_letters, error=error)

        stack = (await entry_of(dead_letters, dlq_id)).error_stacktrace
        assert stack
        assert "in raised" in stack
        assert "DoorJammedError: the door is jammed" in stack
        assert "LookupError" not in stack

    async def test_causes_are_told(self, dead_letters: DLQRepository) -> None:
        """What led to an error is a part of its stack."""
        error = DoorJammedError("the door is jammed")
        error.__cause__ = raised(LookupError("no key"))

        dlq_id = await add(dead_letters, error=error)

        stack = (await entry_of(dead_letters, dlq_id)).error_stacktrace
        assert stack
        assert "LookupError: no key" in stack

    async def test_an_error_that_nobody_raised_is_kept(self, dead_letters: DLQRepository) -> None:
        """It has no stack, and no other one is told in its stead."""
        dlq_id = await add(dead_letters, error=DoorJammedError("the door is jammed"))

        stack = (await entry_of(dead_letters, dlq_id)).error_stacktrace
        assert stack
        assert stack.strip().endswith("DoorJammedError: the door is jammed")
        assert "Traceback" not in stack

    @pytest.mark.parametrize(
        ("message", "kept"),
        [("", ""), (CHARACTERS, CHARACTERS), ("half \ud83d", r"half \ud83d")],
        ids=["empty", "all kinds of characters", "half a character"],
    )
    async def test_every_message_is_kept(self, dead_letters: DLQRepository, message: str, kept: str) -> None:
        """What has no form in UTF-8 is written out."""
        dlq_id = await add(dead_letters, error=raised(DoorJammedError(message)))

        entry = await entry_of(dead_letters, dlq_id)
        assert entry.error_message == kept.replace("\0", self.nul)
        assert entry.error_stacktrace
        assert kept.replace("\0", self.nul) in entry.error_stacktrace

    async def test_an_error_that_cannot_be_shown_is_kept(self, dead_letters: DLQRepository) -> None:
        """The entry says which one it is, and why there is no message."""
        dlq_id = await add(dead_letters, error=raised(SpeechlessError()))

        entry = await entry_of(dead_letters, dlq_id)
        assert entry.error_type == "SpeechlessError"
        assert "SpeechlessError" in entry.error_message
        assert "no words" in entry.error_message
        assert entry.error_stacktrace
        assert "in raised" in entry.error_stacktrace

    async def test_an_event_that_fails_again_keeps_its_entry(self, dead_letters: DLQRepository, event: Opened) -> None:
        """Id, data, headers and the time of the first failure stay; the rest is that of the last one."""
        dlq_id = await add(dead_letters, event, event_data="{}", headers={"request": "7"}, retry_count=3)
        before = await entry_of(dead_letters, dlq_id)
        error = raised(DoorJammedError("the door is jammed"))

        again = await dead_letters.add_failed_event(
            event.event_id, VISITS, "Renamed", "other data", error, 1, headers={"request": "8"}
        )

        after = await entry_of(dead_letters, dlq_id)
        assert again == dlq_id
        assert (after.event_data, after.headers) == ("{}", {"request": "7"})
        assert after.first_failed_at == before.first_failed_at
        assert (after.event_type, after.retry_count) == ("Renamed", 1)
        assert (after.error_message, after.error_type) == ("the door is jammed", "DoorJammedError")
        assert after.error_stacktrace
        assert "in raised" in after.error_stacktrace
        assert before.last_failed_at
        assert after.last_failed_at
        assert after.last_failed_at > before.last_failed_at
        assert len(await dead_letters.get_failed_events(status=None)) == 1

    @pytest.mark.parametrize("again", [True, False])
    async def test_a_retry_that_failed_is_kept_like_any_failure(
        self, dead_letters: DLQRepository, event: Opened, again: bool
    ) -> None:
        """Whether it is about an entry that was tried again concerns those who count dead letters."""
        dlq_id = await add(dead_letters, event, retry_count=1)
        await dead_letters.mark_retrying(dlq_id)

        kept = await add(dead_letters, event, retry_count=2, again=again)

        entry = await entry_of(dead_letters, dlq_id)
        assert (kept, entry.status, entry.retry_count) == (dlq_id, "failed", 2)

    async def test_every_projection_has_an_entry_of_its_own(self, dead_letters: DLQRepository, event: Opened) -> None:
        """That one of them fails again is nothing to the other."""
        ids = [await add(dead_letters, event, name, retry_count=1) for name in (VISITS, OPEN_DOORS)]

        await add(dead_letters, event, VISITS, retry_count=9)

        entries = [await entry_of(dead_letters, dlq_id) for dlq_id in ids]
        assert [(entry.projection_name, entry.retry_count) for entry in entries] == [(VISITS, 9), (OPEN_DOORS, 1)]

    async def test_failures_at_once_are_all_kept(self, dead_letters: DLQRepository, event: Opened) -> None:
        """One event has one entry, however many tasks fail on it; others have theirs."""
        others = [Opened(aggregate_id=uuid4()) for _ in range(TASKS)]

        ids = await asyncio.gather(*(add(dead_letters, each) for pair in others for each in (pair, event)))

        entries = await dead_letters.get_failed_events()
        assert len(set(ids[1::2])) == 1
        assert sorted(entry.id for entry in entries) == sorted(set(ids))
        assert {entry.event_id for entry in entries} == {event.event_id, *(each.event_id for each in others)}
        assert len(entries) == TASKS + 1


def raised(error: Exception) -> Exception:
    """Return *error* with the stack of having been raised here."""
    try:
        raise error
    except Exception as caught:  # whichever was given
        return caught
