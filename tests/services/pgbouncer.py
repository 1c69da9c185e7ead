"""pgbouncer in transaction mode, as a package of the system's brings it."""

import os
import shutil
from pathlib import Path
from urllib.parse import urlsplit

from services import unprivileged
from services.availability import NotAvailableError
from services.postgresql import PostgreSQL
from services.processes import free_ports
from services.server import Server


class PgBouncer(Server):
    """A pooler before the PostgreSQL at *upstream*, whose connections are anybody's after each transaction."""

    title = "pgbouncer"
    variable = "EVENTSOURCE_TEST_PGBOUNCER"
    container = ""

    def __init__(self, directory: Path, *, upstream: str) -> None:
        super().__init__(directory)
        self._upstream = urlsplit(upstream)
        [self._port] = free_ports(1)
        self._data = unprivileged.directory_beside(directory)

    @property
    def address(self) -> str:
        return f"postgresql://postgres@127.0.0.1:{self._port}/postgres"

    @property
    def leftovers(self) -> list[Path]:
        return [self._data]

    @classmethod
    def install(cls) -> None:
        PostgreSQL.install()

    @staticmethod
    def answers(address: str) -> bool:
        return PostgreSQL.answers(address)

    def _start(self) -> None:
        program = shutil.which("pgbouncer", path=f"{os.environ.get('PATH')}:/usr/sbin")
        if program is None:
            raise NotAvailableError("pgbouncer is not installed: apt-get install --no-install-recommends pgbouncer")
        self._data.mkdir(parents=True, exist_ok=True)
        (self._data / "pgbouncer.ini").write_text(self._configuration())
        unprivileged.own(self._data)
        self._begin(*unprivileged.command(program, self._data / "pgbouncer.ini"))

    def _configuration(self) -> str:
        host, port = self._upstream.hostname, self._upstream.port or 5432
        return f"""
[databases]
* = host={host} port={port} user=postgres

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {self._port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 5
max_client_conn = 500
"""
