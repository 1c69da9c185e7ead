"""What the members of a group have noted of the events that they handled, in the file that they share."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

Place = tuple[int, int]
"""An event: its aggregate, and its number there."""


class Step(NamedTuple):
    """What a member has noted: an event was begun, has failed, or is done."""

    kind: str
    member: str
    place: Place
    nanoseconds: int


class Handlings:
    """The steps of all members, in the order in which they were noted."""

    def __init__(self, log: Path) -> None:
        self.steps = [_step(line) for line in log.read_text().splitlines()]

    @property
    def done(self) -> list[Place]:
        """The events in the order in which they were done, those again that were handled again."""
        return [step.place for step in self.steps if step.kind == "done"]

    @property
    def failures(self) -> int:
        """How many attempts have failed."""
        return sum(step.kind == "failed" for step in self.steps)

    @property
    def repeated(self) -> int:
        """How many events were handled again."""
        return len(self.done) - len({*self.done})

    @property
    def changes(self) -> int:
        """How often an event of an aggregate was done by another member than the one before it."""
        last: dict[int, str] = {}
        changes = 0
        for step in self.steps:
            if step.kind == "done":
                changes += last.setdefault(step.place[0], step.member) != step.member
                last[step.place[0]] = step.member
        return changes

    @property
    def members(self) -> int:
        """How many members have done something."""
        return len({step.member for step in self.steps if step.kind == "done"})

    @property
    def longest_pause(self) -> float:
        """The seconds in which nothing was noted."""
        return max((after.nanoseconds - before.nanoseconds) / 1e9 for before, after in pairwise(self.steps))

    def __str__(self) -> str:
        return (
            f"{len({*self.done})} events done, {self.repeated} of them again; {self.failures} attempts failed; by "
            f"{self.members} member(s), {self.changes} times an aggregate went from one to another; the longest pause "
            f"was {self.longest_pause:.1f} s"
        )

    def out_of_order(self) -> Iterator[Step]:
        """Yield the steps of events that were begun, or done, before the one before them was done once."""
        done: dict[int, int] = {}
        for step in self.steps:
            aggregate, number = step.place
            if number > done.get(aggregate, 0) + 1:
                yield step
            elif step.kind == "done":
                done[aggregate] = max(done.get(aggregate, 0), number)

    def overlapping(self) -> Iterator[Step]:
        """Yield the steps of events that were begun while another member, alive, had one of their aggregate in hand."""
        in_hand: dict[int, dict[str, list[Step]]] = {}
        for step in self.steps:
            members = in_hand.setdefault(step.place[0], {})
            if step.kind == "begun":
                for begun_meanwhile in members.values():
                    begun_meanwhile.append(step)
                members[step.member] = []
            else:
                yield from members.pop(step.member)


def places(aggregates: int, events: int) -> set[Place]:
    """Return the events that the program publishes."""
    return {(place % aggregates, place // aggregates + 1) for place in range(events)}


def _step(line: str) -> Step:
    kind, member, aggregate, number, nanoseconds = line.split()
    return Step(kind, member, (int(aggregate), int(number)), int(nanoseconds))
