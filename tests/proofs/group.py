"""A group of consumers and a publisher, each of them a process of its own, at a broker."""

import asyncio
import subprocess
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from uuid import uuid4

import aio_pika
from proofs.handlings import Handlings, Place, places

from services.brokers import create_topics
from services.processes import holds_within

PATIENCE = 180.0
AGGREGATES = 48
PARTITIONS = 6

Process = subprocess.Popen[str]


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

    def publish(self, events: int, seconds: float) -> Iterator[tuple[int, int, float]]:
        """Publish so many events evenly over so many *seconds*, and yield what the publisher writes."""
        arguments = (AGGREGATES, events, seconds, self._publish_timeout)
        publishing = self._start("broker_publishing.py", *self._place, *arguments)
        assert publishing.stdout
        for line in publishing.stdout:
            confirmed, failures, longest = line.split()
            yield int(confirmed), int(failures), float(longest)
        assert publishing.wait() == 0
        assert int(confirmed) == events

    def missing_after_all(self, events: int) -> set[Place]:
        """Return which of so many published events are not handled although there was time to."""
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


async def _clean(url: str, name: str) -> None:
    async with await aio_pika.connect(url) as connection, connection.channel() as channel:
        for queue in (f"{name}.default", f"{name}.default.dlq"):
            await channel.queue_delete(queue)
        for exchange in (name, f"{name}_dlq"):
            await channel.exchange_delete(exchange)
