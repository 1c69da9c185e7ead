"""The bus within the process."""

from collections.abc import AsyncIterator

import pytest

from eventsource.bus.memory import InMemoryEventBus
from eventsource.testing import EventBusContract


class TestContract(EventBusContract):
    @pytest.fixture
    async def bus(self) -> AsyncIterator[InMemoryEventBus]:
        async with InMemoryEventBus() as bus:
            yield bus
