"""The shop of ``make demo``, on the database that its one line names."""

import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest

Run: TypeAlias = Callable[..., subprocess.CompletedProcess[str]]

LINE = '        stores = in_sqlite(Path(directory, "shop.db"))\n'
"""Which line of the program says where everything is kept."""
BEHIND_A_POOLER = {"statement_cache_size": 0, "listen": False}
CHANGING = re.compile(r"\d+\.\d\d ms|system\.name=\w+|(?<=\S) +")
"""Times, names of databases, and how wide a column is."""
FOLLOWED = "read_all"
"""How often the log was looked at depends on how quick the machine is."""


@pytest.fixture
def shop(root: Path) -> str:
    return (root / "docs/examples/shop.py").read_text()


def shop_on(program: str, address: str, **options: Any) -> str:
    """The *program*, with one line changed."""
    arguments = "".join(f", {name}={value!r}" for name, value in options.items())
    return program.replace(LINE, f"        stores = in_postgresql({address!r}{arguments})\n")


def steady(output: str) -> list[str]:
    """What is printed in each run and on each database, in any order: one customer or the other is first."""
    return sorted(CHANGING.sub(" ", line) for line in output.splitlines() if FOLLOWED not in line)


@pytest.fixture
def in_sqlite(shop: str, run_python: Run) -> list[str]:
    """What the shop prints as it is."""
    done = run_python("-c", shop)
    assert done.returncode == 0, done.stderr
    return steady(done.stdout)


def test_one_line_of_the_shop_says_where_everything_is_kept(shop: str) -> None:
    """Else the tests below would change nothing, or more than that."""
    assert shop.count(LINE) == 1


def test_the_shop_sells(in_sqlite: list[str]) -> None:
    """Else the tests below could compare one failure with another."""
    assert "Sold: 7 x Tea, position: 4" in in_sqlite


def test_the_shop_is_the_same_on_postgresql(
    shop: str, in_sqlite: list[str], postgresql_dsn: str, schema: str, run_python: Run
) -> None:
    """It prints what it prints on SQLite: the same sales, traces and counts."""
    done = run_python("-c", shop_on(shop, postgresql_dsn, schema=schema))

    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "db.system.name=postgresql" in done.stdout
    assert steady(done.stdout) == in_sqlite


def test_the_shop_is_the_same_behind_pgbouncer(
    shop: str,
    in_sqlite: list[str],
    postgresql_dsn: str,
    schema: str,
    start_pgbouncer: Callable[..., Any],
    run_python: Run,
) -> None:
    """In transaction mode, where each transaction may have another connection."""
    pooler = start_pgbouncer(upstream=postgresql_dsn)

    done = run_python("-c", shop_on(shop, pooler.address, schema=schema, **BEHIND_A_POOLER))

    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert steady(done.stdout) == in_sqlite
