"""Events in PostgreSQL: the contract, and what becomes of a table that others wrote to."""

from collections.abc import AsyncIterator

import pytest

from eventsource.databases.postgresql_options import PostgreSQLOptions
from eventsource.stores.postgresql import PostgreSQLEventStore
from eventsource.testing import EventStoreContract


class TestContract(EventStoreContract):
    @pytest.fixture
    async def store(self, postgresql_dsn: str, schema: str) -> AsyncIterator[PostgreSQLEventStore]:
        async with PostgreSQLEventStore(postgresql_dsn, options=PostgreSQLOptions(schema=schema)) as store:
            yield store
