"""How a bus over RabbitMQ is set up."""

import ssl
import subprocess
import sys
from typing import Any

import pytest

from eventsource.bus.messages import Server
from eventsource.bus.rabbitmq import RabbitMQEventBus, RabbitMQEventBusConfig


def test_names_follow_from_exchange_and_group() -> None:
    """Whoever knows both finds the queues."""
    config = RabbitMQEventBusConfig(exchange_name="orders", consumer_group="mail", dlq_exchange_suffix=".dead")

    assert (config.queue_name, config.dlq_queue_name) == ("orders.mail", "orders.mail.dlq")
    assert config.dlq_exchange_name == "orders.dead"


def test_each_consumer_has_a_name_of_its_own() -> None:
    """Two processes that are set up alike can be told apart."""
    assert RabbitMQEventBusConfig().consumer_name != RabbitMQEventBusConfig().consumer_name


@pytest.mark.parametrize(
    ("exchange_type", "pattern", "expected"),
    [
        ("topic", None, "#"),
        ("TOPIC", None, "#"),
        ("direct", None, "events.default"),
        ("fanout", None, ""),
        ("headers", None, ""),
        ("topic", "Order.*", "Order.*"),
        ("topic", "", ""),
    ],
)
def test_the_binding_fits_the_exchange(exchange_type: str, pattern: str | None, expected: str) -> None:
    """A pattern of one's own comes first."""
    config = RabbitMQEventBusConfig(exchange_type=exchange_type, routing_key_pattern=pattern)

    assert config.get_effective_routing_key() == expected


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"exchange_type": "x-random"}, "exchange_type must be one of topic, direct, fanout, headers"),
        ({"queue_type": "stream"}, "queue_type must be one of classic, quorum"),
        ({"exchange_name": ""}, "exchange_name must not be empty"),
        ({"consumer_group": "g" * 260}, "names of 255 bytes"),
        ({"dlq_exchange_suffix": ""}, "an exchange of their own"),
        ({"prefetch_count": 0}, "prefetch_count must be 1 or more"),
        ({"prefetch_count": 65_500}, "must not be above 65535 together"),
        ({"heartbeat": 0}, "heartbeat must be 1 or more"),
        ({"max_retries": -1}, "max_retries must be 0 or more"),
        ({"publish_timeout": 0}, "publish_timeout must be positive"),
        ({"connect_timeout": float("nan")}, "connect_timeout must be positive"),
        ({"shutdown_timeout": -1}, "shutdown_timeout must be 0 or more"),
        ({"retry_base_delay": 2, "retry_max_delay": 1}, "the retry delays make no sense"),
        ({"reconnect_delay": 0}, "the reconnect delays make no sense"),
        ({"queue_type": "quorum", "durable": False}, "a quorum queue is always durable"),
        ({"rabbitmq_url": "http://localhost/"}, "rabbitmq_url must look like"),
    ],
)
def test_what_makes_no_sense_is_refused(options: dict[str, Any], says: str) -> None:
    """It is said when the configuration is made, not when the first message comes."""
    with pytest.raises(ValueError, match=says):
        RabbitMQEventBusConfig(**options)


@pytest.mark.parametrize("options", [{"prefetch_count": "10"}, {"max_retries": True}, {"exchange_name": None}])
def test_a_value_of_the_wrong_kind_is_refused(options: dict[str, Any]) -> None:
    """It would be misunderstood later."""
    with pytest.raises(TypeError, match=next(iter(options))):
        RabbitMQEventBusConfig(**options)


@pytest.mark.parametrize("url", ["amqp://me:zq/x@localhost/", "redis://me:zqx@localhost/", "amqp://me:zqx@/"])
def test_a_bad_address_is_refused_without_quoting_the_password(url: str) -> None:
    """The error ends up in logs."""
    with pytest.raises(ValueError, match="rabbitmq_url must look like") as caught:
        RabbitMQEventBusConfig(rabbitmq_url=url)

    assert "zq" not in str(caught.value)
    assert caught.value.__context__ is None


def test_no_secret_is_shown() -> None:
    """Neither in the repr nor in the address for logs."""
    config = RabbitMQEventBusConfig(
        rabbitmq_url="amqps://me:secret@broker.example:5671/shop", key_file="/secret.pem", ssl_options={"a": "secret"}
    )

    assert "secret" not in repr(config)
    assert "broker.example:5671" in repr(config)
    assert config.masked_url == "amqps://***:***@broker.example:5671/shop"


@pytest.mark.parametrize(
    ("options", "server"),
    [
        ({"rabbitmq_url": "amqp://broker.example/"}, Server("broker.example", 5672)),
        ({"rabbitmq_url": "amqps://broker.example/"}, Server("broker.example", 5671)),
        ({"rabbitmq_url": "amqp://broker.example/", "ca_file": "ca.pem"}, Server("broker.example", 5671)),
        ({"rabbitmq_url": "amqp://me:secret@broker.example:5000/shop"}, Server("broker.example", 5000)),
    ],
)
def test_a_bus_tells_its_server(options: dict[str, Any], server: Server) -> None:
    """Host and port, also where the port goes without saying."""
    assert RabbitMQEventBus(RabbitMQEventBusConfig(**options)).server == server


@pytest.mark.parametrize(
    ("options", "secure"),
    [
        ({}, False),
        ({"rabbitmq_url": "amqps://localhost/"}, True),
        ({"ca_file": "ca.pem"}, True),
        ({"cert_file": "client.pem"}, True),
        ({"ssl_context": ssl.create_default_context()}, True),
    ],
)
def test_whatever_is_said_about_certificates_means_encryption(options: dict[str, Any], secure: bool) -> None:
    """Nobody names a certificate and means an open connection."""
    assert RabbitMQEventBusConfig(**options).uses_tls is secure


def test_switches_for_observers_are_taken_over() -> None:
    """Whoever observes looks at the bus."""
    bus = RabbitMQEventBus(RabbitMQEventBusConfig(enable_tracing=False, enable_metrics=False, consumer_group="mail"))

    assert (bus.enable_tracing, bus.enable_metrics, bus.consumer_group) == (False, False, "mail")


def test_the_configuration_needs_no_driver() -> None:
    """Only a bus does, and it says how to get it."""
    program = """
import sys
sys.modules["aio_pika"] = None
from eventsource.bus.rabbitmq import *
assert not RABBITMQ_AVAILABLE
RabbitMQEventBusConfig()
try:
    RabbitMQEventBus()
except RabbitMQNotAvailableError as error:
    assert isinstance(error, ImportError)
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert "pip install 'eventsource-py[rabbitmq]'" in done.stdout


def test_importing_a_bus_loads_no_driver() -> None:
    """It is loaded when a bus is made."""
    program = """
import sys
from eventsource.bus.rabbitmq import RABBITMQ_AVAILABLE, RabbitMQEventBus
assert RABBITMQ_AVAILABLE
print("aio_pika" in sys.modules)
RabbitMQEventBus()
print("aio_pika" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout.split() == ["False", "True"]
