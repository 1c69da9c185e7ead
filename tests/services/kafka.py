"""Apache Kafka as Maven brings it, one node that is broker and controller."""

import base64
import filecmp
import os
import re
import shutil
import socket
import uuid
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from services import packages
from services.availability import NotAvailableError
from services.certificates import certify
from services.processes import free_ports
from services.server import Server

POM = Path(__file__).parent / "pom.xml"
JARS = Path(__file__).parents[2] / ".services" / "kafka-jars"
JAVA = 17
"""The oldest version that runs it."""

USER, PASSWORD = "alice", "wonderland"
"""Who may use the listeners that ask (SASL/PLAIN)."""

METADATA = bytes.fromhex("0000001a 0003 0001 00000001 000c") + b"availability" + bytes(4)
"""A request for no topics' metadata: version 1, correlation id 1, a client's name."""

MISSING = (
    f"Kafka is not there: install Java {JAVA} or later and Maven ('apt-get install default-jre-headless maven'), "
    "start Docker, or set EVENTSOURCE_TEST_KAFKA, and run 'make services'"
)


class Kafka(Server):
    """
    A Kafka with a listener for each of *protocols*; *settings* are lines of its server.properties.

    Besides PLAINTEXT there are SSL, SASL_PLAINTEXT and SASL_SSL.
    """

    title = "Kafka"
    variable = "EVENTSOURCE_TEST_KAFKA"
    container = "127.0.0.1:9092"

    def __init__(
        self, directory: Path, *, protocols: tuple[str, ...] = (), settings: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(directory)
        self._settings = dict(settings or {})
        names = ["PLAINTEXT", "CONTROLLER", *protocols]
        self._listeners = {name: f"127.0.0.1:{port}" for name, port in zip(names, free_ports(len(names)), strict=True)}

    @property
    def address(self) -> str:
        return self.address_of("PLAINTEXT")

    def address_of(self, protocol: str) -> str:
        """What clients connect to that speak *protocol*."""
        return self._listeners[protocol]

    @property
    def certificate(self) -> Path:
        """What clients of the listeners with TLS trust."""
        return certify(self.directory)[0]

    @classmethod
    def install(cls) -> None:
        if _fetched() and _java():
            return
        if not (_java() and shutil.which("mvn")):
            packages.install("default-jre-headless", "maven")
        if not (_java() and shutil.which("mvn")):
            raise NotAvailableError(MISSING)
        shutil.rmtree(JARS, ignore_errors=True)
        packages.run("mvn", "-q", "-B", "-f", str(POM), "dependency:copy-dependencies", f"-DoutputDirectory={JARS}")
        shutil.copy(POM, JARS)

    @staticmethod
    def answers(address: str) -> bool:
        host, _, port = address.partition(",")[0].rpartition(":")
        try:
            with socket.create_connection((host, int(port)), timeout=5) as connection:
                connection.sendall(METADATA)
                reply = connection.makefile("rb").read(12)
        except OSError:
            return False
        return len(reply) == 12 and int.from_bytes(reply[8:], "big") > 0

    def _start(self) -> None:
        if not (_fetched() and _java()):
            raise NotAvailableError(MISSING)
        properties = self.directory / "server.properties"
        if not properties.exists():
            properties.write_text(self._configuration())
            identity = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
            packages.run(
                *_program("kafka.tools.StorageTool"), "format", f"--cluster-id={identity}", "-c", str(properties)
            )
        self._begin(*_program("kafka.Kafka", "-Xmx512m"), properties)

    def _configuration(self) -> str:
        listeners = ",".join(f"{name}://{address}" for name, address in self._listeners.items())
        protocols = ",".join(f"{name}:{name.replace('CONTROLLER', 'PLAINTEXT')}" for name in self._listeners)
        lines = {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.voters": f"1@{self._listeners['CONTROLLER']}",
            "controller.listener.names": "CONTROLLER",
            "listeners": listeners,
            "advertised.listeners": re.sub("CONTROLLER://[^,]+,?", "", listeners).rstrip(","),
            "listener.security.protocol.map": protocols,
            "log.dirs": str(self.directory / "data"),
            "offsets.topic.replication.factor": "1",
            "offsets.topic.num.partitions": "5",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "share.coordinator.state.topic.replication.factor": "1",
            "share.coordinator.state.topic.min.isr": "1",
            "broker.heartbeat.interval.ms": "500",
            "broker.session.timeout.ms": "3000",  # so long a killed one keeps its successor out
            "group.initial.rebalance.delay.ms": "0",
        }
        if any("SSL" in name for name in self._listeners):
            pair = self.directory / "pair.pem"
            pair.write_text("".join(path.read_text() for path in certify(self.directory)))
            lines |= {"ssl.keystore.type": "PEM", "ssl.keystore.location": str(pair)}
        if any("SASL" in name for name in self._listeners):
            login = f'org.apache.kafka.common.security.plain.PlainLoginModule required user_{USER}="{PASSWORD}";'
            asking = [name.lower() for name in self._listeners if "SASL" in name]
            lines |= {"sasl.enabled.mechanisms": "PLAIN"}
            lines |= {f"listener.name.{name}.plain.sasl.jaas.config": login for name in asking}
        return "".join(f"{name}={value}\n" for name, value in (lines | self._settings).items())


def _program(name: str, *options: str) -> list[str]:
    return [_java(), *options, "-cp", f"{JARS}/*", name]


def _fetched() -> bool:
    stamp = JARS / POM.name
    return stamp.exists() and filecmp.cmp(stamp, POM, shallow=False)


def _java() -> str:
    """A Java that is new enough, or nothing."""
    home = os.environ.get("JAVA_HOME")
    for java in (f"{home}/bin/java", "java") if home else ("java",):
        with suppress(NotAvailableError):
            version = re.search(r'version "(\d+)', packages.run(java, "-version"))
            if version and int(version[1]) >= JAVA:
                return java
    return ""
