"""Jobs of a SQLite database that have a transaction alone: what they do to it is nothing to those beside them."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path

import pytest

from eventsource.databases.sqlite import Committed, SQLiteDatabase, SQLiteOptions
from eventsource.databases.sqlite_connections import lent
from eventsource.exceptions import DatabaseError


class Outcome(BaseException):
    """No `Exception`, like that with which a test framework fails a test."""


def end_the_transaction(connection: sqlite3.Connection) -> None:
    connection.execute("INSERT OR ROLLBACK INTO names VALUES ('taken')")


def end_it_unseen(connection: sqlite3.Connection) -> None:
    try:
        end_the_transaction(connection)
    except sqlite3.IntegrityError:
        connection.execute("SELECT 1")


def raise_outcome(connection: sqlite3.Connection) -> None:
    raise Outcome


DEEDS = {
    "ends the transaction": (end_the_transaction, DatabaseError),
    "ends it unseen": (end_it_unseen, DatabaseError),
    "raises no Exception": (raise_outcome, Outcome),
}


REFUSED = (
    "PRAGMA query_only = ON",
    "PRAGMA user_version = 7",
    "PRAGMA synchronous(OFF)",
    "BEGIN",
    "COMMIT",
    "END",
    "ROLLBACK",
    "SAVEPOINT job",
    "RELEASE event",
    "ROLLBACK TO job",
)


def insert(connection: sqlite3.Connection, name: str) -> None:
    connection.execute("INSERT INTO names VALUES (?)", (name,))


@pytest.fixture
async def database(path: Path) -> AsyncIterator[SQLiteDatabase]:
    """A database with a table of names, of which one is taken."""
    database = SQLiteDatabase(str(path), SQLiteOptions())
    await database.write(lambda connection: connection.execute("CREATE TABLE names (name TEXT UNIQUE)") and None)
    await database.write(partial(insert, name="taken"))
    yield database
    await database.close()


async def names(database: SQLiteDatabase) -> list[str]:
    """Return what is written, in its order, but for the name that was taken from the start."""
    rows = await database.read(lambda connection: connection.execute("SELECT name FROM names").fetchall())
    return sorted(name for (name,) in rows if name != "taken")


@pytest.mark.parametrize(("deed", "error"), DEEDS.values(), ids=DEEDS)
async def test_whatever_one_does_the_others_get_their_answers(
    database: SQLiteDatabase, deed: Callable[[sqlite3.Connection], None], error: type[BaseException]
) -> None:
    """They came at the same time, and what they wrote is written; it alone has failed."""

    def do_alone(connection: sqlite3.Connection) -> None:
        insert(connection, "undone")
        deed(connection)

    writes = [database.write(partial(insert, name=name)) for name in ("first", "before", "after")]
    writes.insert(2, database.write(do_alone, alone=True))

    outcomes = await asyncio.gather(*writes, return_exceptions=True)

    assert [type(each) for each in outcomes] == [Committed, Committed, error, Committed]
    assert await names(database) == ["after", "before", "first"]


@pytest.mark.parametrize("deed", [deed for deed, _ in DEEDS.values()], ids=DEEDS)
async def test_whatever_one_does_the_next_one_finds_all_well(
    database: SQLiteDatabase, deed: Callable[[sqlite3.Connection], None]
) -> None:
    """The connection is the same."""
    await asyncio.gather(database.write(deed, alone=True), return_exceptions=True)

    await database.write(partial(insert, name="next"))

    assert await names(database) == ["next"]


async def test_one_shares_with_nobody(database: SQLiteDatabase) -> None:
    """The others share with one another."""
    under_way = database.write(partial(insert, name="under way"))
    together = [database.write(partial(insert, name=str(number))) for number in range(2)]
    alone = [database.write(partial(insert, name=f"alone {number}"), alone=True) for number in range(2)]

    _, *outcomes = await asyncio.gather(under_way, *together, *alone)

    assert [outcome.shared for outcome in outcomes] == [2, 2, 1, 1]


class TestLending:
    @pytest.mark.parametrize("rows", [1, 2])
    async def test_a_cursor_that_is_kept_open_does_not_keep_the_rest_from_being_written(
        self, database: SQLiteDatabase, rows: int
    ) -> None:
        """SQLite would not commit while a statement is under way."""
        kept: list[sqlite3.Cursor] = []

        def keep_open(connection: sqlite3.Connection) -> None:
            values = ", ".join(f"('row {number}')" for number in range(rows))
            with lent(connection):
                kept.append(connection.execute(f"INSERT INTO names VALUES {values} RETURNING name"))
                kept.append(connection.cursor().execute("SELECT name FROM names"))

        await database.write(keep_open, alone=True)

        assert await names(database) == [f"row {number}" for number in range(rows)]
        with pytest.raises(sqlite3.ProgrammingError, match="closed cursor"):
            kept[0].fetchall()

    async def test_factories_are_put_back(self, database: SQLiteDatabase) -> None:
        """Whoever comes next gets tuples of texts."""

        def set_factories(connection: sqlite3.Connection) -> None:
            with lent(connection):
                connection.row_factory, connection.text_factory = sqlite3.Row, bytes

        await database.write(set_factories, alone=True)

        written = (
            await database.write(lambda connection: connection.execute("SELECT name FROM names").fetchall())
        ).result
        assert (written, type(written[0])) == ([("taken",)], tuple)

    @pytest.mark.parametrize(
        "statement", ["PRAGMA table_info(names)", "PRAGMA index_list('names')", "PRAGMA user_version"]
    )
    async def test_pragmas_that_only_tell_something_are_allowed(self, database: SQLiteDatabase, statement: str) -> None:
        """A migration asks which columns there are."""

        def ask(connection: sqlite3.Connection) -> int:
            with lent(connection):
                return len(connection.execute(statement).fetchall())

        assert (await database.write(ask, alone=True)).result == 1

    @pytest.mark.parametrize("statement", REFUSED)
    async def test_what_would_change_it_for_others_is_refused(self, database: SQLiteDatabase, statement: str) -> None:
        """The message says what is shared, and nothing of the job is written."""

        def change(connection: sqlite3.Connection) -> None:
            with lent(connection):
                insert(connection, "undone")
                connection.execute(statement)

        with pytest.raises(DatabaseError, match=r"connection\.execute: the transaction is shared with others"):
            await database.write(change, alone=True)

        assert await names(database) == []

    async def test_savepoints_of_ones_own_are_allowed(self, database: SQLiteDatabase) -> None:
        """To undo a part of what was written."""

        def undo_a_part(connection: sqlite3.Connection) -> None:
            with lent(connection):
                insert(connection, "kept")
                connection.execute("SAVEPOINT mine")
                insert(connection, "undone")
                connection.execute("ROLLBACK TO mine")
                connection.execute("RELEASE mine")

        await database.write(undo_a_part, alone=True)

        assert await names(database) == ["kept"]
