"""How a PostgreSQL is opened: what is refused before anybody connects."""

from math import inf, nan
from typing import Any

import asyncpg
import pytest

from eventsource.databases.postgresql_options import PostgreSQLOptions
from eventsource.projections.checkpoints.postgresql import PostgreSQLCheckpointRepository
from eventsource.projections.dead_letters.postgresql import PostgreSQLDLQRepository
from eventsource.projections.postgresql import PostgreSQLProjection
from eventsource.snapshots.postgresql import PostgreSQLSnapshotStore
from eventsource.stores.postgresql import PostgreSQLEventStore

NOBODY = "postgresql://ann:secret@nowhere.invalid:5432/shop"

KINDS: dict[str, Any] = {
    "events": PostgreSQLEventStore,
    "snapshots": PostgreSQLSnapshotStore,
    "checkpoints": PostgreSQLCheckpointRepository,
    "dead letters": PostgreSQLDLQRepository,
    "projection": PostgreSQLProjection,
}
every_kind = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)

TIMES = ("connect_timeout", "command_timeout", "lock_timeout", "idle_timeout")
COUNTS = ("min_size", "max_size", "statement_cache_size")


@pytest.mark.parametrize("name", TIMES)
@pytest.mark.parametrize("seconds", [0, -1, 0.0004, 3_000_000, inf, nan, "60", True, None], ids=str)
def test_a_time_is_a_number_of_seconds(name: str, seconds: Any) -> None:
    """None of them may be endless, so that no call is, and none so short that PostgreSQL would take it for that."""
    with pytest.raises(ValueError, match=f"{name} must be a number of seconds from 0.001 to 2147483, not {seconds!r}"):
        PostgreSQLOptions(**{name: seconds})


@pytest.mark.parametrize("name", TIMES)
def test_a_time_may_be_a_fraction_of_a_second(name: str) -> None:
    """Or a whole number of them."""
    for seconds in (0.001, 1, 86_400):
        assert getattr(PostgreSQLOptions(**{name: seconds}), name) == seconds


@pytest.mark.parametrize("name", COUNTS)
@pytest.mark.parametrize("count", [1.0, "1", None], ids=repr)
def test_a_count_is_an_integer(name: str, count: Any) -> None:
    """The error names the option."""
    with pytest.raises(TypeError, match=name):
        PostgreSQLOptions(**{name: count})


@pytest.mark.parametrize(
    "counts",
    [{"min_size": -1}, {"min_size": 11}, {"max_size": 0}, {"statement_cache_size": -1}, {"min_size": 3, "max_size": 2}],
    ids=str,
)
def test_counts_that_make_no_sense_are_refused(counts: dict[str, int]) -> None:
    """The error says which do, and what was given."""
    with pytest.raises(ValueError, match=r"min_size must be from 0 to max_size.*not -?\d+, \d+ and -?\d+"):
        PostgreSQLOptions(**counts)


@pytest.mark.parametrize("schema", ["", "a" * 64, "ü" * 32, "a\0b"], ids=["empty", "long", "long in bytes", "nul"])
def test_what_cannot_be_a_schema_is_refused(schema: str) -> None:
    """PostgreSQL would cut the name off, and two logs might be one."""
    with pytest.raises(ValueError, match="schema must be a name of 1 to 63 bytes"):
        PostgreSQLOptions(schema=schema)


@pytest.mark.parametrize("schema", [None, 5, b"shop"], ids=repr)
def test_a_schema_is_a_text(schema: Any) -> None:
    """The error names the option."""
    with pytest.raises(TypeError, match="schema"):
        PostgreSQLOptions(schema=schema)


@every_kind
@pytest.mark.parametrize(
    "database", [None, 5, {"host": "db"}, asyncpg.connect], ids=["none", "int", "dict", "function"]
)
def test_what_is_neither_an_address_nor_a_pool_is_refused(kind: Any, database: Any) -> None:
    """When the store is made, not when it is opened."""
    with pytest.raises(TypeError, match=r"give an address, 'postgresql://\.\.\.', or a pool of asyncpg's, not a "):
        kind(database)


@every_kind
@pytest.mark.parametrize(
    "address",
    ["", "shop", "db:5432/shop", "mysql://ann:secret@db/shop", "postgresql+asyncpg://ann:secret@db/shop", "host=db"],
)
def test_an_address_of_another_form_is_refused(kind: Any, address: str) -> None:
    """The error shows the form, and not the address, which may have a password."""
    with pytest.raises(ValueError, match="must look like 'postgresql://user:password@host:5432/database'") as refused:
        kind(address)

    assert "secret" not in str(refused.value)


@every_kind
@pytest.mark.parametrize("password", ["se?cret", "se#cret", "se/cret"])
def test_a_password_that_is_not_quoted_is_refused(kind: Any, password: str) -> None:
    """A part of it would be taken for the host, and be shown; the error shows none of it."""
    with pytest.raises(ValueError, match=r"write .* in a password as '%2F'") as refused:
        kind(f"postgresql://ann:{password}@db/shop")

    assert "cret" not in str(refused.value)


@every_kind
@pytest.mark.parametrize("options", [{"schema": "shop"}, "shop"], ids=["dict", "str"])
def test_options_of_another_type_are_refused(kind: Any, options: Any) -> None:
    """The error says which type they must have."""
    with pytest.raises(TypeError, match="options must be of type PostgreSQLOptions"):
        kind(NOBODY, options=options)


@every_kind
def test_all_stores_are_opened_alike(kind: Any) -> None:
    """The defaults of the stores are those of the options; else they would not share connections."""
    assert kind(NOBODY).options == PostgreSQLOptions()


@every_kind
def test_nobody_is_asked_before_it_is_opened(kind: Any) -> None:
    """A store can be made where no server is; it says which database it is for."""
    store = kind(NOBODY, options=PostgreSQLOptions(schema="here"))

    assert (store.is_connected, store.namespace) == (False, "shop|here")
