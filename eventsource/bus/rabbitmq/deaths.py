"""What RabbitMQ itself writes on messages that it moves to a dead-letter exchange."""

from collections.abc import Mapping
from typing import Any, Protocol

_DEATHS = "x-death"


class WithHeaders(Protocol):
    """A message as the driver delivers it."""

    @property
    def headers(self) -> Mapping[str, Any]:
        """What travels beside its body."""


def get_death_count(message: WithHeaders) -> int:
    """Return how often the broker has dead-lettered *message*."""
    return sum(count for death in _deaths_of(message) if isinstance(count := death.get("count"), int))


def get_first_death_queue(message: WithHeaders) -> str | None:
    """Return the queue from which it was first dead-lettered."""
    return _text(message.headers.get("x-first-death-queue"))


def get_first_death_reason(message: WithHeaders) -> str | None:
    """Return why it was first dead-lettered."""
    return _text(message.headers.get("x-first-death-reason"))


def get_first_death_exchange(message: WithHeaders) -> str | None:
    """Return the exchange to which it had been published before it was first dead-lettered."""
    return _text(message.headers.get("x-first-death-exchange"))


def get_original_routing_key(message: WithHeaders) -> str | None:
    """Return the routing key that it had when it was last dead-lettered."""
    for death in _deaths_of(message)[:1]:
        keys = death.get("routing-keys")
        return _text(keys[0]) if isinstance(keys, list) and keys else None
    return None


def is_from_dlq(message: WithHeaders) -> bool:
    """Tell whether the broker has ever dead-lettered it."""
    return bool(_deaths_of(message))


def get_death_info(message: WithHeaders) -> dict[str, Any]:
    """Return all of it by name."""
    return {
        "is_dead_lettered": is_from_dlq(message),
        "death_count": get_death_count(message),
        "first_death_queue": get_first_death_queue(message),
        "first_death_reason": get_first_death_reason(message),
        "first_death_exchange": get_first_death_exchange(message),
        "original_routing_key": get_original_routing_key(message),
        "x_death": _deaths_of(message),
    }


def _deaths_of(message: WithHeaders) -> list[Mapping[str, Any]]:
    deaths = message.headers.get(_DEATHS)
    return [death for death in deaths if isinstance(death, Mapping)] if isinstance(deaths, list) else []


def _text(value: Any) -> str | None:
    return None if value is None else str(value)
