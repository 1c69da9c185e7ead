"""Which events are read: options that make no sense are refused when they are made."""

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from eventsource.stores import ReadDirection, ReadOptions

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)

WRONG: list[tuple[str, Any]] = [
    ("direction", "backward"),
    ("direction", None),
    ("from_position", "0"),
    ("from_position", None),
    ("from_position", 1.5),
    ("limit", "10"),
    ("limit", 2.0),
    ("from_timestamp", "2024-05-01"),
    ("from_timestamp", 1714564800.0),
    ("from_timestamp", NOON.date()),
    ("to_timestamp", NOON.isoformat()),
    ("tenant_id", "6f1c9a52-7a0e-4b57-9a52-0a4c7c0f4b11"),
    ("tenant_id", 7),
]


@pytest.mark.parametrize(("name", "value"), WRONG, ids=lambda value: repr(value)[:20])
def test_an_option_of_another_type_is_refused(name: str, value: Any) -> None:
    """The error names it and shows what was given."""
    with pytest.raises(TypeError, match=f"{name} must be ") as refused:
        ReadOptions(**{name: value})

    assert repr(value) in str(refused.value)


@pytest.mark.parametrize(("name", "value"), [("from_position", -2), ("limit", -1)])
def test_a_number_below_its_least_is_refused(name: str, value: int) -> None:
    """The error says what it may be."""
    with pytest.raises(ValueError, match=f"{name} must be"):
        ReadOptions(**{name: value})  # type: ignore[arg-type]


def test_all_options_may_be_given_and_none_has_to_be() -> None:
    """What is right is kept as it was given."""
    tenant = uuid4()

    options = ReadOptions(ReadDirection.BACKWARD, 3, 0, NOON, NOON, tenant)

    assert (options.direction, options.from_position, options.limit) == (ReadDirection.BACKWARD, 3, 0)
    assert (options.from_timestamp, options.to_timestamp, options.tenant_id) == (NOON, NOON, tenant)
    assert ReadOptions() == ReadOptions(ReadDirection.FORWARD, 0, None, None, None, None)
