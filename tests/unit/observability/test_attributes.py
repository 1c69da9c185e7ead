"""The names of span attributes."""

from collections.abc import Mapping

import pytest

from eventsource import observability
from eventsource.observability import attributes

DEFINED: Mapping[str, str] = {name: value for name, value in vars(attributes).items() if name.startswith("ATTR_")}


@pytest.mark.parametrize("name", DEFINED)
def test_an_attribute_has_a_name_in_dotted_lower_case(name: str) -> None:
    """As the conventions of telemetry have it."""
    value = DEFINED[name]

    assert value
    assert value == value.lower()
    assert "." in value


def test_no_two_attributes_share_a_name() -> None:
    """One would overwrite the other."""
    assert len(set(DEFINED.values())) == len(DEFINED)


def test_all_attributes_are_public() -> None:
    """And nothing else is."""
    assert set(attributes.__all__) == set(DEFINED)


@pytest.mark.parametrize("name", DEFINED)
def test_the_package_offers_them_too(name: str) -> None:
    """Under the same names."""
    assert name in observability.__all__
    assert getattr(observability, name) == DEFINED[name]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ATTR_AGGREGATE_ID", "eventsource.aggregate.id"),
        ("ATTR_EVENT_TYPE", "eventsource.event.type"),
        ("ATTR_EVENT_COUNT", "eventsource.event.count"),
        ("ATTR_HANDLER_NAME", "eventsource.handler.name"),
        ("ATTR_FROM_POSITION", "eventsource.from_position"),
        ("ATTR_DB_SYSTEM", "db.system"),
        ("ATTR_MESSAGING_DESTINATION", "messaging.destination"),
    ],
)
def test_names_that_people_know_stay(name: str, value: str) -> None:
    """Their dashboards and their code rely on them."""
    assert DEFINED[name] == value
