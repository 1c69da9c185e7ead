"""Encrypted connections to RabbitMQ."""

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from eventsource.bus.rabbitmq import RabbitMQEventBus
from eventsource.exceptions import BrokerConnectionError
from eventsource.testing.event_bus_subject import Recorder
from eventsource.testing.events import Opened, opened
from services.rabbitmq import RabbitMQ
from services.rabbitmq_buses import configured, consuming


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Any:
    """One broker for all of them: nothing is done to it."""
    return request.getfixturevalue("start_rabbitmq")
