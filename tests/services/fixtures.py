"""What a test asks for that needs a broker."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import pytest

from services.availability import NotAvailableError, required
from services.finding import find
from services.kafka import Kafka
from services.rabbitmq import RabbitMQ
from services.server import Server

S = TypeVar("S", bound=Server)


@pytest.fixture(scope="session")
def rabbitmq_url() -> str:
    """Where the RabbitMQ is that all tests share."""
    return _shared(RabbitMQ)


@pytest.fixture(scope="session")
def kafka_address() -> str:
    """Where the Kafka is that all tests share."""
    return _shared(Kafka)


@pytest.fixture
def start_rabbitmq(tmp_path: Path) -> Iterator[Callable[..., RabbitMQ]]:
    """Start a RabbitMQ of the test's own, which does not outlive it."""
    yield from _private(RabbitMQ, tmp_path)


@pytest.fixture
def start_kafka(tmp_path: Path) -> Iterator[Callable[..., Kafka]]:
    """Start a Kafka of the test's own, which does not outlive it."""
    yield from _private(Kafka, tmp_path)


def do_without(reason: str) -> NoReturn:
    """Skip a test for want of what it needs; where everything has to be there, fail."""
    if required():
        pytest.fail(reason)
    pytest.skip(reason)


def _shared(server: type[Server]) -> str:
    try:
        return find(server)
    except NotAvailableError as error:
        do_without(str(error))


def _private(server: type[S], directory: Path) -> Iterator[Callable[..., S]]:
    numbers = count(1)

    with ExitStack() as stack:

        def start(**options: Any) -> S:
            started = server(directory / f"{server.__name__.lower()}{next(numbers)}", **options)
            try:
                stack.enter_context(started)
            except NotAvailableError as error:
                do_without(str(error))
            return started

        yield start
