"""PostgreSQL as a package of the system's brings it."""

import os
import shutil
import signal
import socket
import struct
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from services import packages, unprivileged
from services.availability import NotAvailableError
from services.certificates import certify
from services.processes import Process, free_ports, holds_within
from services.server import Server

STARTUP = b"\x00\x03\x00\x00user\x00postgres\x00database\x00postgres\x00\x00"
"""Version 3.0 of the protocol, and who wants to connect to what."""
AUTHENTICATION, ERROR = b"R", b"E"
NOT_READY = b"C57P03\0"


class PostgreSQL(Server):
    """A PostgreSQL that trusts everybody; *settings* are those of its postgresql.conf."""

    title = "PostgreSQL"
    variable = "EVENTSOURCE_TEST_POSTGRESQL_DSN"
    container = "postgresql://postgres@127.0.0.1:5432/postgres"
    ending = signal.SIGINT  # SIGTERM would wait for its clients

    def __init__(self, directory: Path, *, tls: bool = False, settings: Mapping[str, str] | None = None) -> None:
        super().__init__(directory)
        self._settings = dict(settings or {})
        self._tls = tls
        [self._port] = free_ports(1)
        self._data = unprivileged.directory_beside(directory)

    @property
    def address(self) -> str:
        return f"postgresql://postgres@127.0.0.1:{self._port}/postgres"

    @property
    def certificate(self) -> Path:
        """What clients trust that want to be sure of the server."""
        return certify(self.directory)[0]

    @property
    def leftovers(self) -> list[Path]:
        return [self._data]

    @classmethod
    def install(cls) -> None:
        if not (_binaries() and shutil.which("pgbouncer", path=f"{os.environ.get('PATH')}:/usr/sbin")):
            packages.install("postgresql", "pgbouncer")
        _program("postgres")

    @staticmethod
    def answers(address: str) -> bool:
        url = urlsplit(address)
        try:
            with socket.create_connection((url.hostname or "localhost", url.port or 5432), timeout=5) as connection:
                connection.sendall(struct.pack("!i", len(STARTUP) + 4) + STARTUP)
                answer = connection.recv(1024)
        except OSError:
            return False
        return answer.startswith((AUTHENTICATION, ERROR)) and NOT_READY not in answer

    def __exit__(self, *exc_info: object) -> None:
        self.stop()  # which leaves no shared memory behind
        super().__exit__(*exc_info)

    def kill(self) -> None:
        """End it as a crash would, with its sessions, since it cannot be started again before they have ended."""
        self.freeze()  # so that it begins no more of them
        sessions = self._sessions()
        for session in sessions:
            session.send(signal.SIGKILL)
        super().kill()
        holds_within(30, lambda: not any(session.runs() for session in sessions))

    def terminate_sessions(self) -> None:
        """Have all connections end, as an administrator would."""
        program = str(_program("psql"))
        query = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid != pg_backend_pid()"
        packages.run(program, "-Xqt", "-c", query, self.address, seconds=30)

    def _start(self) -> None:
        if not (self._data / "PG_VERSION").exists():
            unprivileged.own(self._data)
            initdb = (_program("initdb"), "-A", "trust", "-U", "postgres", "--no-sync", "--no-locale", "-E", "UTF8")
            packages.run(*map(str, unprivileged.command(*initdb, "-D", self._data)))
        settings = {
            "port": str(self._port),
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "max_connections": "200",
            "dynamic_shared_memory_type": "mmap",  # files of its own, which go when it goes
            **(self._encrypted() if self._tls else {}),
            **self._settings,
        }
        options = [f"--{name}={value}" for name, value in settings.items()]
        self._begin(*unprivileged.command(_program("postgres"), "-D", self._data, *options))

    def _encrypted(self) -> dict[str, str]:
        names = []
        for file in certify(self.directory):
            shutil.copy(file, self._data)
            (self._data / file.name).chmod(0o600)
            names.append(file.name)
        unprivileged.own(self._data)
        return {"ssl": "on", "ssl_cert_file": names[0], "ssl_key_file": names[1]}

    def _signal(self, number: signal.Signals) -> None:
        super()._signal(number)
        for session in self._sessions():
            session.send(number)

    def _sessions(self) -> list[Process]:
        """The processes that the server has begun, one for each connection and some of its own."""
        return [each for child in self._children for each in Process.of(child.pid).children()]


def _binaries() -> Path | None:
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    found = versions[-1] if versions else shutil.which("postgres")
    return Path(found).parent if found else None


def _program(name: str) -> Path:
    if binaries := _binaries():
        return binaries / name
    raise NotAvailableError(
        "PostgreSQL is not installed: install it ('apt-get install --no-install-recommends postgresql pgbouncer'), "
        f"start Docker, or set {PostgreSQL.variable}, and run 'make services'"
    )
