"""Addresses of brokers: ``amqp://user:password@host:port/virtual_host``."""

from urllib.parse import SplitResult, urlsplit, urlunsplit

from eventsource.bus.messages import Server

_PORTS = {"amqp": 5672, "amqps": 5671}


def check_url(url: str) -> None:
    """
    Raise an error if *url* is no address of a broker; it does not quote the password.

    Raises:
        ValueError: If it is not.
    """
    parts = _parts_of(url)
    if parts is None or parts.scheme not in _PORTS or not parts.hostname:
        raise ValueError(
            "rabbitmq_url must look like 'amqp://user:password@host:5672/' or 'amqps://user:password@host:5671/'; "
            "what is no letter or digit in user and password is written as %XX"
        )


def masked(url: str) -> str:
    """Return *url* with asterisks for user and password."""
    parts = urlsplit(url)
    _, at, place = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"***:***@{place}" if at else place, query=""))


def server_of(url: str, uses_tls: bool) -> Server:
    """Return host and port in *url*."""
    parts = urlsplit(url)
    return Server(parts.hostname or "localhost", parts.port or _PORTS["amqps" if uses_tls else "amqp"])


def secured(url: str) -> str:
    """Return *url* as that of an encrypted connection."""
    return urlunsplit(urlsplit(url)._replace(scheme="amqps"))


def _parts_of(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url)
        return parts if parts.port is None or parts.port else None
    except ValueError:  # it quotes what it does not understand, which may be the password
        return None
