"""A server of one's own: its directory, its ports, its processes."""

import os
import shutil
import signal
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Self

from services.processes import Process, holds_within

PATIENCE = 120
"""How many seconds a server has to start; it takes fewer than ten on an idle machine."""


class StartError(Exception):
    """A server did not start; the message has the end of its log."""


class Server(ABC):
    """
    A server on the loopback address that keeps its ports and its data when it is started again.

    As a context manager it runs inside and is killed at the end. Its methods block: call them in a thread where an
    event loop runs.
    """

    title: ClassVar[str]
    variable: ClassVar[str]
    """The environment variable that names a server to use instead."""
    container: ClassVar[str]
    """The address of the one that docs/docker-compose.yml starts."""
    ending: ClassVar[signal.Signals] = signal.SIGTERM
    """What has it end in good order."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.log = directory / "server.log"
        self._children: list[subprocess.Popen[bytes]] = []

    @classmethod
    @abstractmethod
    def install(cls) -> None:
        """
        Get what it takes to start one, if it is not there.

        Raises:
            NotAvailableError: If it cannot be had here.
        """

    @staticmethod
    @abstractmethod
    def answers(address: str) -> bool:
        """Whether there is one that works at *address*."""

    @property
    @abstractmethod
    def address(self) -> str:
        """What clients connect to."""

    @property
    def leftovers(self) -> list[Path]:
        """What it has outside of its directory."""
        return []

    @abstractmethod
    def _start(self) -> None:
        """Begin its processes, itself last."""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.kill()
        for leftover in self.leftovers:
            shutil.rmtree(leftover, ignore_errors=True)

    @property
    def processes(self) -> list[Process]:
        """What runs, in the order in which it is to be ended."""
        return [Process.of(child.pid) for child in reversed(self._children)]

    def start(self) -> None:
        """
        Start it, for the first time or once more, and return when it answers.

        Raises:
            NotAvailableError: If it is not installed.
            StartError: If it ends or does not answer.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        try:
            self._start()
            server = self._children[-1]
            holds_within(PATIENCE, lambda: server.poll() is not None or self.answers(self.address))
            if server.poll() is not None or not self.answers(self.address):
                raise StartError(f"{self.title} did not start:\n{self.log.read_text(errors='replace')[-4000:]}")
        except BaseException:
            self.kill()
            raise

    def kill(self) -> None:
        """End it as a crash would."""
        while self._children:
            with self._children.pop() as child:
                child.kill()

    def stop(self) -> None:
        """Have it end in good order."""
        self.thaw()
        for process in self.processes:
            process.end(by=self.ending)
        self.kill()

    def leave(self) -> list[Process]:
        """Let its processes outlive this program, and say which they are."""
        processes = self.processes
        for child in self._children:
            child.returncode = 0  # nobody waits for it here, and nobody is to be warned of that
        self._children.clear()
        return processes

    def freeze(self) -> None:
        """Have it stand still with its connections open, and return once it does."""
        self._signal(signal.SIGSTOP)
        for server in self._children[-1:]:
            holds_within(10, Process.of(server.pid).stands)

    def thaw(self) -> None:
        """Have it go on."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        for server in self._children[-1:]:
            server.send_signal(number)

    def _begin(self, *command: str | Path, **variables: str | Path) -> None:
        environment: Mapping[str, str] = {**os.environ, **{name: str(value) for name, value in variables.items()}}
        with self.log.open("ab") as log:
            child = subprocess.Popen(
                [*map(str, command)],
                cwd=self.directory,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # what ends this program from the keyboard does not end the server
            )
        self._children.append(child)
