"""Message headers: which ones are in hand, and which are accepted."""

import asyncio
from types import MappingProxyType
from typing import Any

import pytest

from eventsource.headers import check_headers, current_headers, headers_in_hand


class TestInHand:
    def test_there_are_none_outside_of_a_handler(self) -> None:
        """Asking is always allowed."""
        assert dict(current_headers()) == {}

    def test_within_the_block_they_are_the_current_ones(self) -> None:
        """And afterwards they are gone."""
        with headers_in_hand({"request-id": "7"}):
            within = dict(current_headers())

        assert (within, dict(current_headers())) == ({"request-id": "7"}, {})

    def test_a_block_without_headers_hides_those_around_it(self) -> None:
        """A message has its own headers or none, never those of another one."""
        with headers_in_hand({"request-id": "7"}), headers_in_hand(None):
            within = dict(current_headers())

        assert within == {}

    def test_an_inner_block_gives_way_to_the_outer_one(self) -> None:
        """Handling a message within a message is like a call."""
        with headers_in_hand({"a": "1"}):
            with headers_in_hand({"b": "2"}):
                pass
            after = dict(current_headers())

        assert after == {"a": "1"}

    def test_they_are_gone_after_an_error_too(self) -> None:
        """A handler that fails leaves nothing behind."""
        with pytest.raises(KeyError), headers_in_hand({"a": "1"}):
            raise KeyError

        assert dict(current_headers()) == {}

    def test_nobody_can_change_them(self) -> None:
        """One handler does not interfere with the next."""
        with headers_in_hand({"a": "1"}), pytest.raises(TypeError):
            current_headers()["b"] = "2"  # type: ignore[index]

    def test_they_do_not_follow_the_dictionary_that_they_came_from(self) -> None:
        """What the sender does later is its own business."""
        given = {"a": "1"}

        with headers_in_hand(given):
            given["a"] = "2"
            within = dict(current_headers())

        assert within == {"a": "1"}

    async def test_messages_that_are_handled_at_the_same_time_do_not_mix(self) -> None:
        """Each task sees those of its own message."""
        meeting = asyncio.Barrier(2)

        async def handle(name: str) -> str:
            with headers_in_hand({"name": name}):
                await meeting.wait()
                return current_headers()["name"]

        assert await asyncio.gather(handle("one"), handle("two")) == ["one", "two"]


class TestCheck:
    @pytest.mark.parametrize("nothing", [None, {}])
    def test_none_are_none(self, nothing: dict[str, str] | None) -> None:
        """An empty mapping is not carried along."""
        assert check_headers(nothing) is None

    def test_a_copy_is_returned(self) -> None:
        """The caller's dictionary may change afterwards."""
        given = {"a": "1"}

        checked = check_headers(given)
        given["a"] = "2"

        assert checked == {"a": "1"}

    def test_any_mapping_will_do(self) -> None:
        """The headers in hand can be passed on as they are."""
        assert check_headers(MappingProxyType({"a": "1"})) == {"a": "1"}

    @pytest.mark.parametrize("wrong", [{1: "a"}, {"a": 1}, {"a": None}, {"a": b"1"}], ids=str)
    def test_anything_but_strings_is_refused(self, wrong: Any) -> None:
        """Every backend can carry strings, and nothing else."""
        with pytest.raises(TypeError, match="headers must map strings to strings"):
            check_headers(wrong)


def test_half_a_surrogate_pair_is_no_header() -> None:
    """What cannot be written as UTF-8 is refused before anything else happens."""
    with pytest.raises(ValueError, match="'request' cannot be sent or stored"):
        check_headers({"request": "\ud800"})
