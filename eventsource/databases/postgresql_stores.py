"""What all stores on PostgreSQL have in common: which database, and which tables."""

from functools import partial
from typing import ClassVar

from eventsource.databases.backed import DatabaseBacked, Lease
from eventsource.databases.postgresql import (
    Connection,
    PostgreSQLDatabase,
    Source,
    database_in,
    place_of,
)
from eventsource.databases.postgresql_errors import undefined_column
from eventsource.databases.postgresql_options import PostgreSQLOptions
from eventsource.databases.postgresql_schema import LOCK, quoted, statements
from eventsource.events.checks import check_type
from eventsource.exceptions import DatabaseError

_STATE = """
SELECT current_database() AS database, to_regnamespace($1) IS NOT NULL AS has_schema,
    to_regclass($2) IS NOT NULL AND ($3::text IS NULL OR to_regproc($3) IS NOT NULL) AS has_table
"""


class PostgreSQLBacked(DatabaseBacked[PostgreSQLDatabase]):
    """
    A store on PostgreSQL; subclasses say which table they need.

    Args:
        database: An address (``postgresql://user:password@host:port/database``), or a pool of asyncpg's, which is not
            closed with the store.
        options: How to open it, and where its tables are.

    Raises:
        TypeError: If *database* is neither, or *options* are no options.
        ValueError: If *database* is another address.
    """

    _table: ClassVar[str]
    _columns: ClassVar[str]
    _function: ClassVar[str | None] = None

    def __init__(self, database: Source, options: PostgreSQLOptions | None) -> None:
        self._options = PostgreSQLOptions() if options is None else options
        check_type("options", self._options, PostgreSQLOptions)
        self._source = database
        self._address = place_of(database)
        self._database_name = database_in(database)

    @property
    def options(self) -> PostgreSQLOptions:
        """How the database is opened, and where its tables are."""
        return self._options

    @property
    def namespace(self) -> str | None:
        """Database and schema, as the semantic conventions for PostgreSQL have them; once the name is known."""
        return self._database_name and f"{self._database_name}|{self._options.schema}"

    @property
    def _place(self) -> str:
        return self._address

    @property
    def _qualified(self) -> str:
        return f"{quoted(self._options.schema)}.{self._table}"

    def _new_lease(self) -> Lease[PostgreSQLDatabase]:
        key = ("postgresql", self._source, self._options)
        return Lease(key, partial(PostgreSQLDatabase, self._source, self._options))

    async def _create_missing(self, database: PostgreSQLDatabase) -> None:
        has_schema, has_table = await self._state(database)
        if not has_table:
            async with database.transaction() as connection:
                await self._create(connection, has_schema)
        await self._check_layout(database)

    async def _state(self, database: PostgreSQLDatabase) -> tuple[bool, bool]:
        schema = quoted(self._options.schema)
        function = self._function and f"{schema}.{self._function}"
        (state,) = await database.fetch(_STATE, schema, self._qualified, function)
        self._database_name, has_schema, has_table = state
        return has_schema, has_table

    async def _create(self, connection: Connection, has_schema: bool) -> None:
        """Create what is missing; of those who do so at the same time, one after the other."""
        schema = self._options.schema
        await self._alone(connection)
        if not has_schema:  # even if it exists, "IF NOT EXISTS" takes a right that few need
            await connection.execute(f"CREATE SCHEMA IF NOT EXISTS {quoted(schema)}")
        for statement in statements(schema, self._table):
            await connection.execute(statement)

    async def _alone(self, connection: Connection) -> None:
        """Wait until nobody else creates tables in the schema, and keep others from it to the transaction's end."""
        await connection.execute("SELECT pg_advisory_xact_lock($1, hashtext($2))", LOCK, self._options.schema)

    async def _check_layout(self, database: PostgreSQLDatabase) -> None:
        try:
            await database.fetch(f"SELECT {self._columns} FROM {self._qualified} LIMIT 0")
        except DatabaseError as error:
            if not undefined_column(error.__cause__):
                raise
            raise DatabaseError(
                f"PostgreSQL at {self._place} has a table {self._qualified} of another layout than "
                f"{self.known_as or type(self).__name__}'s ({error.__cause__}): give another schema"
            ) from error
