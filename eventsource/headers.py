"""Message headers: what travels beside an event and never inside it."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from contextvars import ContextVar
from types import MappingProxyType

from eventsource.ambient import set_during
from eventsource.types import Headers

_NONE: Headers = MappingProxyType({})
_in_hand: ContextVar[Headers] = ContextVar("eventsource_headers", default=_NONE)


def current_headers() -> Headers:
    """Return, inside a handler, the headers of the message that it is given; none anywhere else."""
    return _in_hand.get()


def headers_in_hand(headers: Headers | None) -> AbstractContextManager[None]:
    """Make *headers* the current ones while a message is handled."""
    return set_during(_in_hand, MappingProxyType(dict(headers)) if headers else _NONE)


def check_headers(headers: Mapping[str, str] | None) -> Headers | None:
    """
    Return a copy of *headers*, None if there are none.

    Raises:
        TypeError: If a name or a value is not a string.
        ValueError: If one cannot be written as UTF-8.
    """
    for name, value in (headers or {}).items():
        if not (isinstance(name, str) and isinstance(value, str)):
            raise TypeError(f"headers must map strings to strings, not {name!r} to {value!r}")
        try:
            f"{name}{value}".encode()
        except UnicodeEncodeError as error:
            raise ValueError(f"the header {name!r} cannot be sent or stored: {error}") from error
    return dict(headers) if headers else None
