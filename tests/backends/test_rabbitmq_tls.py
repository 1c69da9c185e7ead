"""Encrypted connections to RabbitMQ."""

import asyncio
import logging
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from eventsource.bus.rabbitmq import RabbitMQEventBus
from eventsource.exceptions import BrokerConnectionError
from eventsource.testing.event_bus_subject import Recorder
from eventsource.testing.events import Opened, opened
from services.availability import NotAvailableError
from services.certificates import certify
from services.fixtures import do_without
from services.packages import run
from services.rabbitmq import RabbitMQ
from services.rabbitmq_buses import configured, consuming

pytestmark = pytest.mark.servers


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMQ]:
    """A broker that encrypts, for all of these tests: none does anything to it."""
    broker = RabbitMQ(tmp_path_factory.mktemp("broker"), tls=True)
    try:
        broker.start()
    except NotAvailableError as error:
        do_without(str(error))
    yield broker
    broker.kill()


WAYS: dict[str, Callable[[RabbitMQ], dict[str, Any]]] = {
    "file": lambda broker: {"ca_file": str(broker.certificate)},
    "context": lambda broker: {"ssl_context": ssl.create_default_context(cafile=broker.certificate)},
    "context first": lambda broker: {
        "ssl_context": ssl.create_default_context(cafile=broker.certificate),
        "ca_file": "nowhere.pem",
    },
    "plain scheme": lambda broker: {
        "rabbitmq_url": broker.tls_address.replace("amqps:", "amqp:"),
        "ca_file": str(broker.certificate),
    },
    "address": lambda broker: {"rabbitmq_url": f"{broker.tls_address}?cafile={broker.certificate}"},
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())
async def test_a_trusted_broker_is_published_to_and_consumed_from(
    broker: RabbitMQ, door: UUID, way: Callable[[RabbitMQ], dict[str, Any]]
) -> None:
    """There are several ways to say whom to trust."""
    config = configured(**{"url": broker.tls_address, **way(broker)})
    async with RabbitMQEventBus(config) as bus:
        bus.subscribe(Opened, recorder := Recorder())
        await consuming(bus)

        await bus.publish(events := opened(door, 2))

        assert await recorder.received(*events) == events


async def test_a_broker_that_is_not_trusted_is_not_talked_to(broker: RabbitMQ) -> None:
    """Nobody has said that its certificate is good."""
    bus = RabbitMQEventBus(configured(broker.tls_address))

    with pytest.raises(BrokerConnectionError, match="CERTIFICATE_VERIFY_FAILED"):
        await bus.connect()


async def test_verification_can_be_switched_off_with_a_warning(
    broker: RabbitMQ, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever reads the log sees that anybody may listen."""
    async with RabbitMQEventBus(configured(broker.tls_address, verify_ssl=False)) as bus:
        assert bus.is_connected

    assert "SSL certificate verification disabled" in caplog.text


async def test_connecting_tells_in_the_log_whether_it_is_encrypted(
    broker: RabbitMQ, caplog: pytest.LogCaptureFixture
) -> None:
    """And nothing of the password."""
    caplog.set_level(logging.INFO, "eventsource.bus.rabbitmq")
    for url, options in ((broker.tls_address, {"ca_file": str(broker.certificate)}), (broker.address, {})):
        async with RabbitMQEventBus(configured(url, **options)):
            pass

    connected = [record for record in caplog.records if record.message.startswith("Connected to RabbitMQ")]
    assert [record.message for record in connected] == [
        "Connected to RabbitMQ (TLS) and initialized topology",
        "Connected to RabbitMQ (plaintext) and initialized topology",
    ]
    assert [record.__dict__["url"].split("@")[0] for record in connected] == ["amqps://***:***", "amqp://***:***"]


async def test_a_file_that_is_not_there_is_told(broker: RabbitMQ) -> None:
    """By an error of ours, like everything that keeps a bus from connecting."""
    bus = RabbitMQEventBus(configured(broker.tls_address, ca_file="nowhere.pem"))

    with pytest.raises(BrokerConnectionError, match=r"failed, connecting.*No such file"):
        await bus.connect()


async def test_a_client_shows_its_certificate(
    start_rabbitmq: Callable[..., RabbitMQ], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Where the broker wants one; without the key there is none, and that is logged."""
    authority, certificate, key = await asyncio.to_thread(_issue, tmp_path)
    wanted = {"cacertfile": str(authority), "verify": "verify_peer", "fail_if_no_peer_cert": "true"}
    settings = {f"ssl_options.{name}": value for name, value in wanted.items()}
    broker = await asyncio.to_thread(start_rabbitmq, tls=True, settings=settings)
    options = {"ca_file": str(broker.certificate), "cert_file": str(certificate)}

    async with RabbitMQEventBus(configured(broker.tls_address, **options, key_file=str(key))) as bus:
        was_connected = bus.is_connected
    with pytest.raises(BrokerConnectionError):
        await RabbitMQEventBus(configured(broker.tls_address, **options)).connect()

    assert was_connected
    assert "needs both cert_file and key_file" in caplog.text


def _issue(directory: Path) -> tuple[Path, Path, Path]:
    """Return an authority's certificate, and certificate and key of a client for which it vouches."""
    authority, authority_key = certify(directory)
    request, certificate, key = (directory / f"client.{kind}" for kind in ("request", "pem", "key"))
    files = ("-keyout", str(key), "-out", str(request))
    run("openssl", "req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=client", *files)
    signing = ("-CA", str(authority), "-CAkey", str(authority_key), "-CAcreateserial", "-days", "7")
    run("openssl", "x509", "-req", "-in", str(request), *signing, "-out", str(certificate))
    return authority, certificate, key
