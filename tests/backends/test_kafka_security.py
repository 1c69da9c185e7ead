"""How connections to Kafka are secured."""

import logging
import ssl
from pathlib import Path
from typing import Any

import pytest

from eventsource.bus.kafka import KafkaEventBus, KafkaEventBusConfig
from eventsource.exceptions import BrokerConnectionError
from services.certificates import certify

SASL = {
    "security_protocol": "SASL_SSL",
    "sasl_mechanism": "PLAIN",
    "sasl_username": "alice",
    "sasl_password": "sesame",
}


def certificate(directory: Path) -> dict[str, str]:
    """Return options for a client that has a certificate, and trusts it."""
    found, key = map(str, certify(directory))
    return {"security_protocol": "SSL", "ssl_cafile": found, "ssl_certfile": found, "ssl_keyfile": key}


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"security_protocol": "TLS"}, "Invalid security_protocol 'TLS': use one of PLAINTEXT, SSL"),
        ({"sasl_mechanism": None}, "sasl_mechanism required for SASL_SSL"),
        ({"sasl_mechanism": "GSSAPI"}, "Invalid sasl_mechanism 'GSSAPI': use one of PLAIN, SCRAM-SHA-256"),
        ({"sasl_username": None}, "sasl_username and sasl_password required for SASL_SSL"),
        ({"sasl_password": ""}, "sasl_username and sasl_password required for SASL_SSL"),
        ({"security_protocol": "SASL_PLAINTEXT", "sasl_mechanism": None}, "required for SASL_PLAINTEXT"),
        ({"ssl_certfile": "client.pem"}, "ssl_keyfile required where ssl_certfile is given"),
        ({"ssl_keyfile": "client.key"}, "ssl_certfile required where ssl_keyfile is given"),
        ({"security_protocol": "SSL", "ssl_keyfile": "client.key"}, "ssl_certfile required"),
    ],
)
def test_what_is_missing_or_unknown_is_told(options: dict[str, Any], says: str) -> None:
    """When the configuration is made."""
    with pytest.raises(ValueError, match=says) as caught:
        KafkaEventBusConfig(**{**SASL, **options})

    assert "sesame" not in str(caught.value)


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
@pytest.mark.parametrize("protocol", ["SASL_PLAINTEXT", "SASL_SSL"])
def test_credentials_are_given_to_the_clients(mechanism: str, protocol: str) -> None:
    """By the names that they have there, to producers and consumers alike."""
    config = KafkaEventBusConfig(**{**SASL, "sasl_mechanism": mechanism, "security_protocol": protocol})
    wanted = {
        "security_protocol": protocol,
        "sasl_mechanism": mechanism,
        "sasl_plain_username": "alice",
        "sasl_plain_password": "sesame",
    }

    assert wanted.items() <= config.get_producer_config().items()
    assert wanted.items() <= config.get_consumer_config().items()


def test_certificates_are_given_to_the_clients() -> None:
    """By the names that they have there."""
    files = {"ssl_cafile": "ca.pem", "ssl_certfile": "client.pem", "ssl_keyfile": "client.key"}
    config = KafkaEventBusConfig(security_protocol="SSL", **files)

    wanted = {**files, "ssl_check_hostname": True}
    assert wanted.items() <= config.get_producer_config().items()
    assert wanted.items() <= config.get_consumer_config().items()


@pytest.mark.parametrize(
    ("options", "warning"),
    [
        ({"security_protocol": "PLAINTEXT"}, "not recommended for production"),
        ({"security_protocol": "SASL_PLAINTEXT"}, "credentials sent in plain text"),
        ({"ssl_check_hostname": False}, "vulnerable to MITM"),
    ],
)
def test_what_is_not_safe_is_warned_of(options: dict[str, Any], warning: str, caplog: pytest.LogCaptureFixture) -> None:
    """Whoever reads the log sees it, under the bus's name."""
    KafkaEventBusConfig(**{**SASL, **options})

    (record,) = caplog.records
    assert warning in record.message
    assert (record.levelno, record.name) == (logging.WARNING, "eventsource.bus.kafka")


def test_what_is_safe_is_not_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    """A warning that always comes is not read."""
    KafkaEventBusConfig(**SASL)

    assert caplog.records == []


def test_no_secret_is_shown(tmp_path: Path) -> None:
    """Neither by the configuration nor by what may be logged."""
    config = KafkaEventBusConfig(**{**SASL, **certificate(tmp_path), "security_protocol": "SASL_SSL"})

    shown = config.get_sanitized_config()

    assert "sesame" not in f"{config!r} {config.security!r} {shown!r}"
    assert str(config.ssl_keyfile) not in f"{config!r} {config.security!r} {shown!r}"
    assert (shown["sasl_password"], shown["ssl_keyfile"], shown["sasl_plain_username"]) == ("***", "***", "alice")


def test_a_secret_that_is_not_used_is_not_shown_either() -> None:
    """It may be that of another environment."""
    shown = KafkaEventBusConfig(sasl_password="sesame", ssl_keyfile="client.key").get_sanitized_config()

    assert (shown["sasl_password"], shown["ssl_keyfile"]) == ("***", "***")


def test_a_secret_that_is_not_there_is_shown_as_such() -> None:
    """Whoever forgot it sees that."""
    shown = KafkaEventBusConfig().get_sanitized_config()

    assert (shown["sasl_password"], shown["ssl_keyfile"]) == (None, None)


@pytest.mark.parametrize("protocol", ["PLAINTEXT", "SASL_PLAINTEXT"])
def test_there_is_no_context_without_encryption(protocol: str) -> None:
    """Whatever files are named."""
    assert KafkaEventBusConfig(**{**SASL, "security_protocol": protocol}).create_ssl_context() is None


@pytest.mark.parametrize("protocol", ["SSL", "SASL_SSL"])
def test_brokers_are_verified_if_nothing_else_is_said(protocol: str) -> None:
    """By the authorities that the system trusts."""
    context = KafkaEventBusConfig(**{**SASL, "security_protocol": protocol}).create_ssl_context()

    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)


def test_an_authority_of_ones_own_is_trusted(tmp_path: Path) -> None:
    """And no other one."""
    context = KafkaEventBusConfig(**certificate(tmp_path)).create_ssl_context()

    (trusted,) = context.get_ca_certs()
    assert trusted["subject"] == ((("commonName", "localhost"),),)


def test_verification_can_be_switched_off() -> None:
    """Of the name and of the certificate, as the warning says."""
    context = KafkaEventBusConfig(security_protocol="SSL", ssl_check_hostname=False).create_ssl_context()

    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_NONE, False)


@pytest.mark.parametrize("name", ["ssl_cafile", "ssl_certfile", "ssl_keyfile"])
async def test_a_file_that_is_not_there_is_told(tmp_path: Path, name: str) -> None:
    """By an error of ours, like everything that keeps a bus from connecting."""
    bus = KafkaEventBus(KafkaEventBusConfig(**{**certificate(tmp_path), name: str(tmp_path / "nowhere")}))

    with pytest.raises(BrokerConnectionError, match="the files for TLS cannot be used"):
        await bus.connect()
