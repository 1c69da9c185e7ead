"""What processes have done with events, noted in a file that they share."""

import os
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from eventsource.testing.events import Opened

_LINE = 64
"""Bytes of a line: a page of the file has a whole number of them, so that a kill does not cut one in two."""

Key = tuple[int, int]
"""An event: the aggregate and the number of the event in it, from 1."""


@dataclass(frozen=True, slots=True)
class Note:
    """Somebody has ``confirmed``, ``begun``, ``failed`` or ``done`` an event; ``at`` is the same clock for everybody."""

    what: str
    key: Key
    who: str
    at: float


def key_of(event: Opened) -> Key:
    return event.aggregate_id.int, event.number


def event_of(key: Key) -> Opened:
    aggregate, number = key
    return Opened(aggregate_id=UUID(int=aggregate), number=number)


def notebook(path: str | Path, who: str) -> Callable[[str, Opened], None]:
    """Return what adds a note; all that is added before the process is killed stays."""
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def note(what: str, event: Opened) -> None:
        aggregate, number = key_of(event)
        os.write(file, f"{what} {aggregate} {number} {who} {time.monotonic():.6f}".ljust(_LINE - 1).encode() + b"\n")

    return note


class Record:
    """The notes in a file, in the order in which they were made."""

    def __init__(self, path: Path) -> None:
        path.touch()
        self._path = path
        self._size = 0
        self.notes: list[Note] = []
        self._times: dict[str, Counter[Key]] = {}

    def events(self, what: str) -> set[Key]:
        """Return the events of which that is noted."""
        return set(self._read(what))

    def count(self, what: str) -> int:
        """Return of how many events that is noted."""
        return len(self._read(what))

    def again(self, what: str) -> int:
        """Return how often that is noted of an event of which it was noted before."""
        return self._read(what).total() - len(self._read(what))

    def too_early(self) -> list[Note]:
        """Return the notes of events that were begun before the one before them in their aggregate was done."""
        done: set[Key] = set()
        early: list[Note] = []
        for note in self.notes:
            aggregate, number = note.key
            if note.what == "done":
                done.add(note.key)
            elif note.what == "begun" and number > 1 and (aggregate, number - 1) not in done:
                early.append(note)
        return early

    def _read(self, what: str) -> Counter[Key]:
        with self._path.open("rb") as file:
            file.seek(self._size)
            added = file.read()
        added = added[: len(added) // _LINE * _LINE]
        self._size += len(added)
        for line in added.decode().splitlines():
            done, aggregate, number, who, at = line.split()
            self.notes.append(Note(done, (int(aggregate), int(number)), who, float(at)))
            self._times.setdefault(done, Counter())[self.notes[-1].key] += 1
        return self._times.setdefault(what, Counter())
