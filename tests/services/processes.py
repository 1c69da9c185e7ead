"""Processes that outlive whoever started them, and ports for them."""

import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

PORTS = range(20_000, 32_000)
"""Below those that systems give to clients, one of which might take a killed server's port, or connect to itself."""


@dataclass(frozen=True, slots=True)
class Process:
    """A process by its number, and by when it began, since numbers are given again."""

    number: int
    began: str

    @classmethod
    def of(cls, number: int) -> "Process":
        """The process that has this number."""
        return cls(number, _began(number))

    def runs(self) -> bool:
        """Whether it has not ended."""
        return self.began != "" and _began(self.number) == self.began

    def stands(self) -> bool:
        """Whether all of its threads were stopped; those that run when the signal comes go on for a moment."""
        threads = [_stat(self.number, int(path.name)) for path in Path(f"/proc/{self.number}/task").glob("*")]
        return all(state in ("T", "t") for state, *_ in filter(None, threads))

    def children(self) -> list["Process"]:
        """The processes that it has begun and that have not ended."""
        numbers = (int(path.name) for path in Path("/proc").glob("[0-9]*"))
        return [Process.of(number) for number in numbers if _stat(number)[1:2] == [str(self.number)]]

    def send(self, number: signal.Signals) -> None:
        """Send it a signal, if it runs."""
        if self.runs():
            with suppress(ProcessLookupError):
                os.kill(self.number, number)

    def end(self, *, by: signal.Signals = signal.SIGTERM, patience: float = 10) -> None:
        """Ask it to end, and end it if it does not."""
        for number in (by, signal.SIGKILL):
            self.send(number)
            holds_within(patience, lambda: not self.runs())


def holds_within(seconds: float, condition: Callable[[], bool]) -> bool:
    """Wait until *condition* holds, and say whether it did in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def free_ports(count: int) -> list[int]:
    """Ports of the loopback address that nobody listens on."""
    ports: list[int] = []
    with ExitStack() as stack:
        while len(ports) < count:
            holder = stack.enter_context(socket.socket())
            port = random.choice(PORTS)
            with suppress(OSError):
                holder.bind(("127.0.0.1", port))
                ports.append(port)
    return ports


def _began(number: int) -> str:
    if not Path("/proc/self/stat").exists():
        command = ["ps", "-o", "lstart=", "-p", str(number)]
        return subprocess.run(command, check=False, capture_output=True, text=True).stdout.strip()
    state, *fields = _stat(number) or ["Z"]
    return "" if state == "Z" else fields[18]


def _stat(number: int, thread: int | None = None) -> list[str]:
    """The state of a process or of its thread, the number of its parent, and so on; nothing if there is none."""
    try:
        return Path(f"/proc/{number}/task/{thread or number}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []
