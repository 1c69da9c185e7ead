"""Checkpoints in PostgreSQL."""

from typing import ClassVar

from eventsource.databases.postgresql import Connection, Row, Source
from eventsource.databases.postgresql_options import PostgreSQLOptions
from eventsource.databases.postgresql_stores import PostgreSQLBacked
from eventsource.projections.checkpoints.interface import CheckpointRepository
from eventsource.projections.checkpoints.moves import Record, has_begun, leased, moved, released, was_reset
from eventsource.projections.checkpoints.operations import (
    AcquireLease,
    GetAllCheckpoints,
    GetCheckpoint,
    ReleaseLease,
    ResetCheckpoint,
    SaveCheckpoint,
)
from eventsource.projections.checkpoints.values import CheckpointData
from eventsource.stores.interface import EventStore


class PostgreSQLCheckpointRepository(PostgreSQLBacked, CheckpointRepository):
    """
    Checkpoints in PostgreSQL, in the database of the event store or in another one.

    An async context manager: entering connects, and creates the table. Stores that are given the same address and
    options share their connections.

    Args:
        database: An address (``postgresql://user:password@host:port/database``), or a pool of asyncpg's, which is not
            closed with the repository.
        enable_tracing: Whether an instrumentation makes spans for it.
        event_store: Where `get_lag_metrics` looks for the newest event.
        options: How to connect, and where the table is.
    """

    system: ClassVar[str] = "postgresql"
    _table = "projection_checkpoints"
    _columns = (
        "projection_name, last_event_id, last_event_type, last_processed_at, events_processed, global_position, "
        "replay_until, lease_owner, lease_expires_at"
    )

    def __init__(
        self,
        database: Source,
        enable_tracing: bool = True,
        *,
        event_store: EventStore | None = None,
        options: PostgreSQLOptions | None = None,
    ) -> None:
        super().__init__(database, options)
        self.enable_tracing = enable_tracing
        self._event_store = event_store

    async def move(self, save: SaveCheckpoint, connection: Connection) -> None:
        """
        Move a checkpoint as a part of the transaction on *connection*.

        Raises:
            CheckpointConflictError: If it may not be moved so.
        """
        await self._put(moved(await self._locked(save.projection_name, connection), save), connection)

    async def begin_again(self, reset: ResetCheckpoint, connection: Connection) -> None:
        """Reset a checkpoint as a part of the transaction on *connection*."""
        await self._put(was_reset(await self._locked(reset.projection_name, connection), reset), connection)

    async def _get_checkpoint(self, get: GetCheckpoint) -> CheckpointData | None:
        query = f"SELECT {self._columns} FROM {self._qualified} WHERE projection_name = $1"
        records = [_record(row) for row in await self._connected.fetch(query, get.projection_name)]
        return records[0].checkpoint if records and has_begun(records[0]) else None

    async def _get_all_checkpoints(self, get: GetAllCheckpoints) -> list[CheckpointData]:
        query = f'SELECT {self._columns} FROM {self._qualified} ORDER BY projection_name COLLATE "C"'
        records = [_record(row) for row in await self._connected.fetch(query)]
        return [record.checkpoint for record in records if has_begun(record)]

    async def _save_checkpoint(self, save: SaveCheckpoint) -> None:
        async with self._connected.transaction() as connection:
            await self.move(save, connection)

    async def _reset_checkpoint(self, reset: ResetCheckpoint) -> None:
        async with self._connected.transaction() as connection:
            await self.begin_again(reset, connection)

    async def _acquire_lease(self, acquire: AcquireLease) -> CheckpointData | None:
        async with self._connected.transaction() as connection:
            before = await self._locked(acquire.projection_name, connection)
            now = await connection.fetchval("SELECT extract(epoch FROM clock_timestamp())::double precision")
            record = leased(before, acquire, now)
            if record is not None:
                await self._put(record, connection)
        return None if record is None else record.checkpoint

    async def _release_lease(self, release: ReleaseLease) -> None:
        async with self._connected.transaction() as connection:
            await self._put(released(await self._locked(release.projection_name, connection), release), connection)

    async def _locked(self, name: str, connection: Connection) -> Record:
        """Return a record that nobody else changes before the transaction ends; it is made if there is none."""
        query = f"SELECT {self._columns} FROM {self._qualified} WHERE projection_name = $1 FOR UPDATE"
        row = await connection.fetchrow(query, name)
        if row is None:
            await connection.execute(
                f"""
                INSERT INTO {self._qualified} (projection_name, events_processed, lease_expires_at) VALUES ($1, 0, 0)
                ON CONFLICT DO NOTHING
                """,
                name,
            )
            row = await connection.fetchrow(query, name)
        return _record(row)

    async def _put(self, record: Record, connection: Connection) -> None:
        data = record.checkpoint
        await connection.execute(
            f"""
            UPDATE {self._qualified} SET last_event_id = $2, last_event_type = $3, last_processed_at = $4,
                events_processed = $5, global_position = $6, replay_until = $7, lease_owner = $8, lease_expires_at = $9
            WHERE projection_name = $1
            """,
            *(data.projection_name, data.last_event_id, data.last_event_type, data.last_processed_at),
            *(data.events_processed, data.global_position, data.replay_until),
            *(record.lease_owner, record.lease_expires_at),
        )


def _record(row: Row) -> Record:
    *values, owner, expires_at = row
    return Record(CheckpointData(*values), owner, expires_at)
