"""Encrypted connections to Kafka, and those that ask who connects."""

import asyncio
import re
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from eventsource.bus.kafka import KafkaEventBus
from eventsource.exceptions import BrokerConnectionError
from eventsource.testing.event_bus_subject import Recorder
from eventsource.testing.events import Opened, opened
from services.certificates import certify
from services.kafka import PASSWORD, USER, Kafka
from services.kafka_buses import bus_at, configured, consuming, kafka_in, leaving_nothing, topics

pytestmark = pytest.mark.servers

PROTOCOLS = ("SSL", "SASL_PLAINTEXT", "SASL_SSL")


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kafka]:
    """A broker that speaks all protocols, for all of these tests: none does anything to it."""
    with kafka_in(tmp_path_factory.mktemp("broker"), protocols=PROTOCOLS) as broker:
        yield broker


def secured(broker: Kafka, protocol: str, **options: Any) -> dict[str, Any]:
    """Return options for a bus that speaks *protocol* with *broker*, and may."""
    login = {"sasl_mechanism": "PLAIN", "sasl_username": USER, "sasl_password": PASSWORD}
    return {
        "bootstrap_servers": broker.address_of(protocol),
        "security_protocol": protocol,
        **({"ssl_cafile": str(broker.certificate)} if protocol.endswith("SSL") else {}),
        **(login if protocol.startswith("SASL") else {}),
        **options,
    }


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_a_secured_broker_is_published_to_and_consumed_from(broker: Kafka, protocol: str, door: UUID) -> None:
    """Dead letters are read and replayed by the same means."""
    config = configured("", **secured(broker, protocol), max_retries=0)
    plain = configured(broker.address, topic_prefix=config.topic_prefix)
    async with leaving_nothing(), topics(plain), KafkaEventBus(config) as bus:
        bus.subscribe(Opened, recorder := FailingOnce())
        await consuming(bus)

        await bus.publish(events := opened(door, 2))
        await recorder.received(events[1])
        await bus.replay_dlq_message(0, 0)

        assert await recorder.received(*events) == [events[1], events[0]]
        assert [letter["payload"]["number"] for letter in await bus.get_dlq_messages()] == [1]


async def test_a_broker_that_is_not_trusted_is_not_talked_to(broker: Kafka) -> None:
    """Nobody has said that its certificate is good."""
    bus = KafkaEventBus(configured("", **secured(broker, "SSL", ssl_cafile=None)))

    async with leaving_nothing():
        with pytest.raises(BrokerConnectionError, match=r"by SSL .*check the address, the protocol"):
            await bus.connect()

    assert (bus.is_connected, bus.stats.connection_errors) == (False, 1)


async def test_verification_can_be_switched_off(broker: Kafka) -> None:
    """The configuration has warned of that."""
    async with KafkaEventBus(
        configured("", **secured(broker, "SSL", ssl_cafile=None, ssl_check_hostname=False))
    ) as bus:
        assert bus.is_connected


@pytest.mark.parametrize("protocol", ["SASL_PLAINTEXT", "SASL_SSL"])
@pytest.mark.parametrize("wrong", [{"sasl_password": "sesame"}, {"sasl_username": "bob"}], ids=["password", "user"])
async def test_wrong_credentials_are_told_without_being_shown(
    broker: Kafka, protocol: str, wrong: dict[str, str]
) -> None:
    """The error names the user, not the secret."""
    bus = KafkaEventBus(configured("", **secured(broker, protocol, **wrong)))

    async with leaving_nothing():
        with pytest.raises(BrokerConnectionError, match=f"as '{bus.config.sasl_username}' by {protocol}") as caught:
            await bus.connect()

    assert not re.search(f"sesame|{PASSWORD}", f"{caught.value!r} {caught.value.__cause__!r}")


async def test_a_mechanism_that_the_broker_does_not_know_is_told(broker: Kafka) -> None:
    """It says which it has."""
    bus = KafkaEventBus(configured("", **secured(broker, "SASL_PLAINTEXT", sasl_mechanism="SCRAM-SHA-256")))

    async with leaving_nothing():
        with pytest.raises(BrokerConnectionError, match="SASL_PLAINTEXT"):
            await bus.connect()


SPEAKING: dict[str, Callable[[Kafka], dict[str, Any]]] = {
    "plain to encrypted": lambda broker: {"bootstrap_servers": broker.address_of("SSL")},
    "encrypted to plain": lambda broker: secured(broker, "SSL", bootstrap_servers=broker.address),
    "without login": lambda broker: {"bootstrap_servers": broker.address_of("SASL_PLAINTEXT")},
}


@pytest.mark.parametrize("options", SPEAKING.values(), ids=SPEAKING.keys())
async def test_a_listener_of_another_protocol_is_told(
    broker: Kafka, options: Callable[[Kafka], dict[str, Any]]
) -> None:
    """In good time, whatever the two misunderstand."""
    bus = KafkaEventBus(configured("", **{**options(broker), "connect_timeout": 1.0}))

    async with leaving_nothing():
        with pytest.raises(BrokerConnectionError, match="check the address, the protocol and the credentials"):
            await bus.connect()


async def test_a_client_connects_by_the_context_that_it_would_show(broker: Kafka) -> None:
    """What create_ssl_context returns is what is used."""
    config = configured("", **secured(broker, "SSL"))

    context = config.create_ssl_context()

    assert isinstance(context, ssl.SSLContext)
    assert context.get_ca_certs()
    async with bus_at(broker.address) as plain, KafkaEventBus(config) as bus:
        assert (plain.is_connected, bus.is_connected) == (True, True)


async def test_a_client_shows_its_certificate(start_kafka: Callable[..., Kafka], tmp_path: Path, door: UUID) -> None:
    """Where the broker wants one; without it there is no connection."""
    certificate, key = await asyncio.to_thread(certify, tmp_path)
    trust = {"ssl.truststore.type": "PEM", "ssl.truststore.location": str(certificate)}
    broker = await asyncio.to_thread(start_kafka, protocols=("SSL",), settings={"ssl.client.auth": "required", **trust})
    shown = {"ssl_certfile": str(certificate), "ssl_keyfile": str(key)}

    async with KafkaEventBus(configured("", **secured(broker, "SSL", **shown))) as bus:
        await bus.publish(opened(door, 1))
    with pytest.raises(BrokerConnectionError):
        await KafkaEventBus(configured("", **secured(broker, "SSL"))).connect()

    assert bus.stats.events_published == 1


class FailingOnce(Recorder):
    """A handler that refuses the first event that it is given."""

    def __init__(self) -> None:
        super().__init__()
        self._has_failed = False

    async def handle(self, event: Any) -> None:
        if not self._has_failed:
            self._has_failed = True
            raise LookupError("no room")
        self.record(event)
