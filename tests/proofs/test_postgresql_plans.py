"""The hot queries of the stores on PostgreSQL find what they want in an index, however long the log is."""

import asyncio
import json
import re
import shutil
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID, uuid4

import asyncpg
import pytest

from eventsource.databases.postgresql_options import PostgreSQLOptions
from eventsource.exceptions import OptimisticLockError
from eventsource.stores.postgresql import PostgreSQLEventStore
from eventsource.stores.values import ExpectedVersion, ReadDirection, ReadOptions
from eventsource.testing.events import DOOR, Closed, Opened, opened
from services.fixtures import do_without
from services.postgresql import PostgreSQL

SCHEMA = "proof"
OPTIONS = PostgreSQLOptions(schema=SCHEMA, max_size=1)
"""One connection, so that it is the same one each time a query is sent."""
STREAM = 10
PAGE = 100
TIMES = 8
"""How often each query is sent: from the sixth time on the server may use a plan that was made for any values."""

EXPLAINING = {
    "session_preload_libraries": "auto_explain",
    "auto_explain.log_min_duration": "0",
    "auto_explain.log_analyze": "on",
    "auto_explain.log_nested_statements": "on",
    "auto_explain.log_format": "json",
}
"""Has the server log the plan of each statement, and of those inside functions, as it was run."""

FILL = """
INSERT INTO proof.events (event_id, event_type, event_version, aggregate_id, aggregate_type, version, occurred_at,
    stored_at, payload)
SELECT event_id, 'eventsource.testing.' || kind, 1, aggregate_id, 'Door', version, now(), now(),
    json_build_object('event_id', event_id, 'aggregate_id', aggregate_id, 'aggregate_version', version)
FROM generate_series(0, $1 - 1) AS number,
    LATERAL (SELECT number % 10 + 1 AS version, CASE number % 10 WHEN 9 THEN 'Closed' ELSE 'Opened' END AS kind,
        lpad(to_hex(number), 32, '0')::uuid AS event_id,
        lpad(to_hex(number / 10), 32, '0')::uuid AS aggregate_id) AS each
"""
"""So many events in streams of ten, the last of each of another type."""
MOST_ROWS = PAGE * 10 + 1
"""What a page of events of which one in ten is wanted looks at."""

Ask = Callable[[PostgreSQLEventStore, int], Awaitable[object]]
Plan = dict[str, Any]


class Scan(NamedTuple):
    """How a statement got at rows of the table, and how many it looked at."""

    kind: str
    index: str | None
    condition: str | None
    rows: int

    @property
    def is_by_index(self) -> bool:
        """Whether it goes by an index to where its rows are, or along one in its order."""
        return self.kind in ("Index Scan", "Index Only Scan")


def test_the_hot_queries_scan_indexes_only(
    start_postgresql: Callable[..., PostgreSQL],
    size: Callable[[int, int], int],
    report: Callable[[str], None],
) -> None:
    """The server tells how it has run each statement of the store: none looks at more than what it asks for."""
    server = start_postgresql(settings=EXPLAINING)
    events = size(20_000, 1_000_000)
    asyncio.run(_fill(server.address, events))

    plans = asyncio.run(_plans(server, events // STREAM))

    scans = {name: {scan for plan in each for scan in _scans(plan)} for name, each in plans.items()}
    assert {name for name, each in scans.items() if not each} == set()
    assert {name: each for name, each in scans.items() if not all(scan.is_by_index for scan in each)} == {}
    assert {name: each for name, each in scans.items() if max(scan.rows for scan in each) > MOST_ROWS} == {}
    report(f"{events} events, {len(plans)} queries, each {TIMES} times: index scans only")
    for name, each in plans.items():
        report(f"{name}: {_summary(scans[name])}")
        for plan in size(0, 1) * _different(each):
            report(plan)
    if size(0, 1):
        report(_dump(server.address))


async def append_one(store: PostgreSQLEventStore, number: int) -> None:
    await store.append_events(UUID(int=number), DOOR, [Opened(aggregate_id=UUID(int=number))], ExpectedVersion.ANY)


async def append_many(store: PostgreSQLEventStore, number: int) -> None:
    await store.append_events(UUID(int=number), DOOR, opened(UUID(int=number), 100), ExpectedVersion.ANY)


async def append_group(store: PostgreSQLEventStore, number: int) -> None:
    await asyncio.gather(*(append_one(store, number + each) for each in range(50)))


async def append_again(store: PostgreSQLEventStore, number: int) -> None:
    event = Opened(aggregate_id=UUID(int=number))
    await store.append_events(event.aggregate_id, DOOR, [event], ExpectedVersion.ANY)
    await store.append_events(event.aggregate_id, DOOR, [event], ExpectedVersion.ANY)


async def append_late(store: PostgreSQLEventStore, number: int) -> None:
    with pytest.raises(OptimisticLockError):
        await store.append_events(UUID(int=number), DOOR, [Opened(aggregate_id=UUID(int=number))], 1)


async def load(store: PostgreSQLEventStore, number: int) -> None:
    assert len((await store.get_events(UUID(int=number), DOOR)).events) == STREAM


async def load_newer(store: PostgreSQLEventStore, number: int) -> None:
    assert len((await store.get_events(UUID(int=number), DOOR, from_version=STREAM - 3)).events) == 3


async def load_by_id_alone(store: PostgreSQLEventStore, number: int) -> None:
    assert len((await store.get_events(UUID(int=number))).events) == STREAM


def read_all(**options: Any) -> Ask:
    async def read(store: PostgreSQLEventStore, number: int) -> None:
        selected = ReadOptions(from_position=number * STREAM, limit=PAGE, **options)
        assert len([each async for each in store.read_all(selected)]) == PAGE

    return read


async def read_backward(store: PostgreSQLEventStore, number: int) -> None:
    options = ReadOptions(direction=ReadDirection.BACKWARD, to_position=number * STREAM, limit=PAGE)
    assert [each async for each in store.read_all(options)]


async def read_stream(store: PostgreSQLEventStore, number: int) -> None:
    stream = store.read_stream(f"{UUID(int=number)}:{DOOR}", ReadOptions(from_position=2))
    assert len([each async for each in stream]) == STREAM - 2


QUERIES: dict[str, Ask] = {
    "stream": load,
    "stream from a version": load_newer,
    "stream by id alone": load_by_id_alone,
    "page of all": read_all(),
    "page of all, backward": read_backward,
    "page with one event type of ten": read_all(event_types=[Closed]),
    "page with event types": read_all(event_types=[Opened, Closed]),
    "page of a stream": read_stream,
    "head": lambda store, _: store.get_global_position(),
    "version": lambda store, number: store.get_stream_version(UUID(int=number), DOOR),
    "exists": lambda store, number: store.event_exists(UUID(int=number)),
    "exists not": lambda store, _: store.event_exists(uuid4()),
}
APPENDS: dict[str, Ask] = {
    "append one": append_one,
    "append 100": append_many,
    "append in groups": append_group,
    "append again": append_again,
    "append with an old version": append_late,
}


async def _fill(dsn: str, events: int) -> None:
    async with PostgreSQLEventStore(dsn, options=OPTIONS):
        connection = await asyncpg.connect(dsn)
        await connection.execute(FILL.replace("$1", str(events)))
        await connection.execute("ANALYZE proof.events")
        await connection.close()


async def _plans(server: PostgreSQL, streams: int) -> dict[str, list[Plan]]:
    """Return the plans of all statements on the table of events that each of the queries has run."""
    plans = {}
    async with PostgreSQLEventStore(server.address, options=OPTIONS) as store:
        for name, ask in {**QUERIES, **APPENDS}.items():
            known = server.log.stat().st_size
            for number in range(1, streams, streams // TIMES):
                await ask(store, number)
            plans[name] = [plan for plan in _logged(server.log, known) if any(_scans(plan))]
    return plans


def _logged(log: Path, known: int) -> Iterator[Plan]:
    """Yield the plans that were logged behind what is *known*."""
    text = log.read_bytes()[known:].decode()
    for found in re.finditer("  plan:\n", text):
        logged, _ = json.JSONDecoder().raw_decode(text, text.index("{", found.end()))
        yield logged["Plan"]


def _scans(plan: Plan) -> Iterator[Scan]:
    if plan.get("Relation Name") == "events" and plan["Node Type"] != "ModifyTable":
        rows = plan["Actual Loops"] * (plan["Actual Rows"] + plan.get("Rows Removed by Filter", 0))
        yield Scan(plan["Node Type"], plan.get("Index Name"), plan.get("Index Cond"), rows)
    for part in plan.get("Plans", ()):
        yield from _scans(part)


def _summary(scans: set[Scan]) -> str:
    """Tell in a line which scans there were, and how many rows each looked at at most."""
    most: dict[tuple[str, str | None], int] = {}
    for scan in scans:
        most[scan[:2]] = max(most.get(scan[:2], 0), scan.rows)
    return "; ".join(f"{kind} of {index}, {rows} row(s) at most" for (kind, index), rows in sorted(most.items()))


def _different(plans: list[Plan]) -> list[str]:
    """Return the plans, of those that differ only in what they looked for and found the last one."""
    return [*{re.sub(r"'[^']*'::|[\d.]+", "", text): text for text in map(_text, plans)}.values()]


def _text(plan: Plan, depth: int = 3) -> str:
    names = ("Relation Name", "Index Name", "Index Cond", "Filter", "Rows Removed by Filter", "Sort Key")
    facts = [f"{name}: {plan[name]}" for name in names if name in plan]
    found = f"{plan['Actual Rows']} rows x {plan['Actual Loops']}, {plan['Actual Total Time']} ms"
    line = "    " * depth + "; ".join([plan["Node Type"], found, *facts])
    return "\n".join([line, *(_text(part, depth + 1) for part in plan.get("Plans", ()))])


def _dump(dsn: str) -> str:
    """Return the statements that make the schema, as PostgreSQL's own program writes them."""
    if not (program := shutil.which("pg_dump")):
        do_without("pg_dump is not there: install it ('apt-get install postgresql-client')")
    command = [program, "--schema-only", f"--schema={SCHEMA}", f"--dbname={dsn}"]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
