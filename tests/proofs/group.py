"""A group of consumers and a publisher, each of them a process of its own, at a broker."""

import asyncio
import subprocess
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

import aio_pika
from proofs.handlings import Handlings, Place, places

from services.brokers import create_topics
from services.processes import holds_within

PATIENCE = 180.0
AGGREGATES = 50
PARTITIONS = 6

Process = subprocess.Popen[str]
Change = Callable[[], None]


class Published(NamedTuple):
    """How often publishing has failed, and the seconds that it took at most, until all was confirmed."""

    failures: int
    longest: float


class Publication:
    """So many *events* that *process* publishes."""

    def __init__(self, process: Process, events: int) -> None:
        self._process = process
        self._events = events

    def amid(self, changes: Sequence[Change] = ()) -> Published:
        """
        Make *changes* one after the other while the events are published, and return once all are confirmed.

        The publisher does not wait for a change that takes long.
        """
        due = [*zip(_moments(self._events, changes), changes, strict=True)]
        assert self._process.stdout
        for line in self._process.stdout:
            confirmed, failures, longest = line.split()
            while due and int(confirmed) >= due[0][0]:
                due.pop(0)[1]()
        assert self._process.wait() == 0
        assert (int(confirmed), due) == (self._events, [])
        return Published(int(failures), float(longest))


class Group:
    """
    The members that live, what they have handled, and who publishes to them.

    Args:
        start: Starts a program.
        broker: ``rabbitmq`` or ``kafka``.
        address: Where it is.
        log: The file in which the members note what they handle.
        publish_timeout: Seconds that publishing may take.
    """

    def __init__(
        self, start: Callable[..., Process], broker: str, address: str, log: Path, publish_timeout: float = 10
    ) -> None:
        self._start = start
        self._place = (broker, address, f"proof-{uuid4()}")
        self._log = log
        self._publish_timeout = publish_timeout
        self._numbers = count(1)
        self.members: list[Process] = []
        log.touch()
        if broker == "kafka":
            asyncio.run(create_topics(address, self._place[2], PARTITIONS))

    @property
    def handlings(self) -> Handlings:
        """What was handled so far."""
        return Handlings(self._log)

    def join(self, members: int = 1) -> None:
        """Let so many members join at once, and do not wait for them."""
        for _ in range(members):
            self.members.append(self._start("broker_consuming.py", *self._place, self._log, next(self._numbers)))

    def kill(self, member: int = 0) -> None:
        """Kill a member."""
        process = self.members.pop(member)
        process.kill()
        assert process.wait() == -9

    def leave(self, member: int = 0) -> None:
        """Have a member leave in good order."""
        process = self.members.pop(member)
        process.communicate(timeout=PATIENCE)
        assert process.returncode == 0

    def await_members(self) -> None:
        """Return once the broker has taken in those that have joined last; each can be waited for once."""
        for process in self.members:
            assert process.stdout
            assert process.stdout.readline() == "consuming\n"

    def publish(self, events: int, seconds: float) -> "Publication":
        """Begin to publish so many *events* evenly over so many *seconds*."""
        arguments = (AGGREGATES, events, seconds, self._publish_timeout)
        return Publication(self._start("broker_publishing.py", *self._place, *arguments), events)

    def await_done(self, events: int) -> None:
        """Return once so many events were handled, those counted twice that were handled twice."""
        assert holds_within(PATIENCE, lambda: self._log.read_bytes().count(b"done") >= events)

    def amid_handling(self, events: int, changes: Sequence[Change]) -> None:
        """Make *changes* one after the other while so many *events* are handled."""
        for moment, change in zip(_moments(events, changes), changes, strict=True):
            self.await_done(moment)
            change()

    def missing_after_all(self, events: int) -> set[Place]:
        """Return which of so many published events are not handled although there was time to."""
        self.await_done(events)
        wanted = places(AGGREGATES, events)
        holds_within(PATIENCE, lambda: wanted <= {*self.handlings.done})
        return wanted - {*self.handlings.done}

    def close(self) -> None:
        """Let all members leave, and take away what the broker would keep."""
        while self.members:
            self.leave()
        broker, address, name = self._place
        if broker == "rabbitmq":
            asyncio.run(_clean(address, name))


def _moments(events: int, changes: Sequence[Change]) -> list[int]:
    """Return after how many of *events* each change is due."""
    return [events * number // (len(changes) + 1) for number in range(1, len(changes) + 1)]


async def _clean(url: str, name: str) -> None:
    async with await aio_pika.connect(url) as connection, connection.channel() as channel:
        for queue in (f"{name}.{name}", f"{name}.{name}.dlq"):
            await channel.queue_delete(queue)
        for exchange in (name, f"{name}_dlq"):
            await channel.exchange_delete(exchange)
