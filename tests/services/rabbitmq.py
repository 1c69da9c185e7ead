"""RabbitMQ as a package of the system's brings it."""

import shutil
import socket
import ssl
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from services import packages
from services.availability import NotAvailableError
from services.certificates import certify
from services.processes import free_ports
from services.server import Server

SCRIPT = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
"""Debian's own; the one on the path changes the user and drops the environment."""


class RabbitMQ(Server):
    """A RabbitMQ for the user guest with the password guest; *settings* are lines of its rabbitmq.conf."""

    title = "RabbitMQ"
    variable = "EVENTSOURCE_TEST_RABBITMQ_URL"
    container = "amqp://guest:guest@127.0.0.1:5672/"

    def __init__(self, directory: Path, *, tls: bool = False, settings: Mapping[str, str] | None = None) -> None:
        super().__init__(directory)
        self._settings = dict(settings or {})
        self._tls = tls
        self._amqp, self._amqps, self._distribution, self._names = free_ports(4)

    @property
    def address(self) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self._amqp}/"

    @property
    def tls_address(self) -> str:
        """What clients connect to that trust *certificate*."""
        return f"amqps://guest:guest@127.0.0.1:{self._amqps}/"

    @property
    def certificate(self) -> Path:
        """What clients of *tls_address* trust."""
        return certify(self.directory)[0]

    @classmethod
    def install(cls) -> None:
        if not _installed():
            packages.install("rabbitmq-server")
        _script()

    @staticmethod
    def answers(address: str) -> bool:
        url = urlsplit(address)
        secure = url.scheme == "amqps"
        try:
            plain = socket.create_connection((url.hostname, url.port or (5671 if secure else 5672)), timeout=5)
            with ssl._create_unverified_context().wrap_socket(plain) if secure else plain as connection:
                connection.sendall(b"AMQP\x00\x00\x09\x01")
                return connection.recv(1) == b"\x01"
        except OSError:
            return False

    def _start(self) -> None:
        script = _script()
        (self.directory / "rabbitmq.conf").write_text(self._configuration())
        (self.directory / "empty").touch()
        names = {"ERL_EPMD_ADDRESS": "127.0.0.1", "ERL_EPMD_PORT": str(self._names)}
        self._begin("epmd", **names)
        self._begin(
            script,
            **names,
            HOME=self.directory,
            RUNNING_UNDER_SYSTEMD="1",  # makes the script become the server instead of waiting for it
            RABBITMQ_NODENAME=f"test-{self._amqp}@localhost",
            RABBITMQ_DIST_PORT=str(self._distribution),
            RABBITMQ_CONFIG_FILE=self.directory / "rabbitmq.conf",
            RABBITMQ_CONF_ENV_FILE=self.directory / "empty",
            RABBITMQ_ENABLED_PLUGINS_FILE=self.directory / "plugins",
            RABBITMQ_MNESIA_BASE=self.directory / "data",
            RABBITMQ_LOG_BASE=self.directory,
            RABBITMQ_LOGS="-",
            RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="-kernel inet_dist_use_interface {127,0,0,1}",
            ERL_CRASH_DUMP=self.directory / "crash.dump",
        )

    def _configuration(self) -> str:
        lines = {"listeners.tcp.1": f"127.0.0.1:{self._amqp}", "log.console.level": "info"}
        if self._tls:
            certificate, key = certify(self.directory)
            lines |= {
                "listeners.ssl.1": f"127.0.0.1:{self._amqps}",
                "ssl_options.certfile": str(certificate),
                "ssl_options.keyfile": str(key),
            }
        return "".join(f"{name} = {value}\n" for name, value in (lines | self._settings).items())


def _installed() -> str | None:
    return str(SCRIPT) if SCRIPT.exists() else shutil.which("rabbitmq-server")


def _script() -> str:
    if script := _installed():
        return script
    raise NotAvailableError(
        "RabbitMQ is not installed: install it ('apt-get install --no-install-recommends rabbitmq-server'), "
        f"start Docker, or set {RabbitMQ.variable}, and run 'make services'"
    )
