"""Schema evolution: what was written as an old version of an event is read as today's."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from eventsource.events.checks import check_type

Upcaster: TypeAlias = Callable[[dict[str, Any]], dict[str, Any]]
"""Turns the JSON values of one version of an event into those of the next."""


def upcast(data: dict[str, Any], upcasters: Mapping[int, Upcaster]) -> dict[str, Any]:
    """
    Return *data* carried forward, one version at a time, as far as *upcasters* lead.

    Raises:
        ValueError: If *upcasters* know neither its version nor lead to it.
    """
    version = data.get("event_version", 1)
    if upcasters and not min(upcasters) <= version <= max(upcasters) + 1:
        raise ValueError(
            f"it is of version {version}, but only versions {min(upcasters)} to {max(upcasters) + 1} are known"
        )
    while step := upcasters.get(version):
        version += 1
        converted = step(data)
        if not isinstance(converted, dict):
            raise TypeError(f"the upcaster from version {version - 1} returned {converted!r}; it must return the dict")
        data = {**converted, "event_version": version}
    return data


def check_upcasters(event_type: str, current_version: int, upcasters: Mapping[int, Upcaster]) -> None:
    """
    Check that each version below *current_version*, from the oldest given one on, has its function.

    Raises:
        TypeError: If a version is no number, or what leads from it no function.
        ValueError: If the functions leave a gap or do not lead to *current_version*.
    """
    if not upcasters:
        return
    for version, step in upcasters.items():
        check_type("the version that an upcaster starts from", version, int)
        if not callable(step) or inspect.iscoroutinefunction(step):
            raise TypeError(f"the upcaster of {event_type} from version {version} must be a function, not {step!r}")
    expected = list(range(min(upcasters), current_version))
    if sorted(upcasters) != expected or min(upcasters) < 1:
        raise ValueError(
            f"the upcasters of {event_type} start from the versions {sorted(upcasters)}, but its event_version is "
            f"{current_version}: give one function for each version below that, or set the class's event_version to "
            f"{max(upcasters) + 1}"
        )
