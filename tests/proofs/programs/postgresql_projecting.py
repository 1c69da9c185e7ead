"""
Runs a projection in PostgreSQL until it is killed; it notes each event once more whenever it is handled.

Usage: postgresql_projecting.py DSN SCHEMA CONNECT_TIMEOUT COMMAND_TIMEOUT

Each event adds 1 to a counter, and a row with its id to what was seen, both in SCHEMA. Writes a line once it is open.
"""

import asyncio
import sys
from typing import Any

from eventsource.databases.postgresql_options import PostgreSQLOptions
from eventsource.handlers.decorators import handles
from eventsource.projections.postgresql import PostgreSQLProjection
from eventsource.projections.runner import ProjectionRunner
from eventsource.retry import RetryConfig
from eventsource.stores.postgresql import PostgreSQLEventStore
from eventsource.testing.events import Opened

TABLES = """
CREATE TABLE IF NOT EXISTS "{schema}".seen (number bigserial PRIMARY KEY, event_id uuid NOT NULL);
CREATE TABLE IF NOT EXISTS "{schema}".counter (id integer PRIMARY KEY, n bigint NOT NULL);
INSERT INTO "{schema}".counter VALUES (1, 0) ON CONFLICT DO NOTHING
"""
SOON = RetryConfig(initial_delay=0.1, max_delay=1.0)


class Openings(PostgreSQLProjection):
    async def _create_tables(self, connection: Any) -> None:
        await connection.execute(TABLES.format(schema=self.options.schema))

    @handles(Opened)
    async def on_opened(self, connection: Any, event: Opened) -> None:
        schema = self.options.schema
        await connection.execute(f'INSERT INTO "{schema}".seen (event_id) VALUES ($1)', event.event_id)
        await connection.execute(f'UPDATE "{schema}".counter SET n = n + 1')


async def main(dsn: str, schema: str, connect_timeout: str, command_timeout: str) -> None:
    options = PostgreSQLOptions(
        schema=schema, connect_timeout=float(connect_timeout), command_timeout=float(command_timeout)
    )
    async with (
        PostgreSQLEventStore(dsn, options=options) as store,
        Openings(dsn, name="openings", options=options) as openings,
    ):
        sys.stdout.write("open\n")
        sys.stdout.flush()
        await ProjectionRunner(store, openings, lease_seconds=2.0, restart_backoff=SOON).run()


asyncio.run(main(*sys.argv[1:]))
