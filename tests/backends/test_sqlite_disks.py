"""Disks that are full or may not be written to; as root only, because the tests mount file systems of their own."""

import asyncio
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from eventsource.exceptions import DatabaseError
from eventsource.stores.sqlite import SQLiteEventStore
from eventsource.stores.values import AppendResult
from eventsource.testing.events import DOOR, Opened, opened

ROOM = 1_000_000

pytestmark = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="mounting a file system of a test's own needs root"
)


def mount(*arguments: object) -> None:
    subprocess.run(["mount", *map(str, arguments)], check=True, capture_output=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small disk of the test's own."""
    disk = tmp_path / "disk"
    disk.mkdir()
    try:
        mount("-t", "tmpfs", "-o", f"size={ROOM}", "tmpfs", disk)
    except (OSError, subprocess.CalledProcessError) as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(f"this root may not mount: {error}")
    yield disk
    unmounted = subprocess.run(["umount", str(disk)], capture_output=True, text=True)
    if unmounted.returncode != 0:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)
        pytest.fail(f"something is still open on the disk: {unmounted.stderr}")


@pytest.fixture
def protect(disk: Path) -> Callable[[], None]:
    """Make the disk read-only."""
    return lambda: mount("-o", "remount,ro", disk)


def bulky(aggregate_id: UUID) -> list[Opened]:
    return opened(aggregate_id, 1, metadata={"text": "x" * 40_000})


async def test_a_full_disk_is_named(disk: Path, door: UUID) -> None:
    """The append that finds no room is refused with advice and leaves nothing."""
    async with SQLiteEventStore(disk / "events.db") as store:
        with pytest.raises(DatabaseError, match="nothing was written; the disk is full: make room and retry"):
            await store.append_events(door, DOOR, _more_than_fits(door), 0)

        assert await store.get_stream_version(door, DOOR) == 0


async def test_a_full_disk_loses_nothing_acknowledged(disk: Path) -> None:
    """Of many appends at once some find no room; those acknowledged are there, those refused are not, small or not."""
    path = disk / "events.db"
    appends = [bulky(uuid4()) for _ in range(100)] + [opened(uuid4(), 1) for _ in range(4)]
    async with SQLiteEventStore(path) as store:
        early = [await store.append_events(each[0].aggregate_id, DOOR, each, 0) for each in appends[:3]]
        late = await asyncio.gather(
            *(store.append_events(each[0].aggregate_id, DOOR, each, 0) for each in appends[3:]),
            return_exceptions=True,
        )

    async with SQLiteEventStore(path) as store:
        stored = [await store.event_exists(event.event_id) for (event,) in appends]
    assert stored == [isinstance(outcome, AppendResult) for outcome in (*early, *late)]
    refused = [str(outcome) for outcome in late if not isinstance(outcome, AppendResult)]
    assert 0 < len(refused) < len(late)
    assert all("the disk is full: make room and retry" in message for message in refused)


@pytest.mark.parametrize("before", range(4))  # it varies which statement finds the disk full
async def test_a_closed_store_lets_go_of_a_full_disk(disk: Path, protect: Callable[[], None], before: int) -> None:
    """Though somebody keeps the errors, no file stays open for writing."""
    appends = [bulky(uuid4()) for _ in range(64)]
    async with SQLiteEventStore(disk / "events.db") as store:
        for each in appends[:before]:
            await store.append_events(each[0].aggregate_id, DOOR, each, 0)
        kept = await asyncio.gather(
            *(store.append_events(each[0].aggregate_id, DOOR, each, 0) for each in appends[before:]),
            return_exceptions=True,
        )

    protect()

    assert any(isinstance(each, DatabaseError) for each in kept)


async def test_appends_go_on_once_there_is_room(disk: Path, door: UUID) -> None:
    """The store needs not be opened again."""
    ballast = disk / "ballast"
    async with SQLiteEventStore(disk / "events.db") as store:
        ballast.write_bytes(bytes(_free(disk)))
        with pytest.raises(DatabaseError, match="disk is full"):
            await store.append_events(door, DOOR, bulky(door), 0)

        ballast.unlink()

        assert (await store.append_events(door, DOOR, bulky(door), 0)).global_position == 1


async def test_a_full_disk_can_be_read(disk: Path, door: UUID) -> None:
    """What is stored is there for readers, whether or not there is room."""
    async with SQLiteEventStore(disk / "events.db") as store:
        await store.append_events(door, DOOR, opened(door, 3), 0)
        (disk / "ballast").write_bytes(bytes(_free(disk)))

        assert len((await store.get_events(door, DOOR)).events) == 3


@pytest.mark.parametrize("exists", [True, False], ids=["a file that exists", "a new file"])
@pytest.mark.parametrize("wal_mode", [True, False])
async def test_a_read_only_disk_is_named(disk: Path, protect: Callable[[], None], exists: bool, wal_mode: bool) -> None:
    """A store needs to write; where it cannot, opening fails with advice."""
    path = disk / "events.db"
    if exists:
        async with SQLiteEventStore(path):
            pass
    protect()
    store = SQLiteEventStore(path, wal_mode=wal_mode)

    with pytest.raises(DatabaseError, match=r"disk/events\.db.*(may be written to|read-only)"):
        await store.initialize()

    assert not store.is_connected


def _more_than_fits(aggregate_id: UUID) -> list[Opened]:
    return [event for _ in range(ROOM // 40_000 + 1) for event in bulky(aggregate_id)]


def _free(disk: Path) -> int:
    status = os.statvfs(disk)
    return status.f_bavail * status.f_frsize
