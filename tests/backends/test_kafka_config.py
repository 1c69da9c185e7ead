"""How a bus over Kafka is set up."""

import asyncio
import subprocess
import sys
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from eventsource.bus.kafka import KafkaEventBus, KafkaEventBusConfig
from eventsource.bus.messages import Server
from eventsource.testing.events import Closed, Opened


def test_topics_follow_from_the_prefix() -> None:
    """Whoever knows it finds them."""
    config = KafkaEventBusConfig(topic_prefix="orders", dlq_topic_suffix=".dead")

    assert (config.topic_name, config.dlq_topic_name) == ("orders.stream", "orders.stream.dead")


def test_each_consumer_has_a_name_of_its_own() -> None:
    """Two processes that are set up alike can be told apart."""
    assert KafkaEventBusConfig().consumer_name != KafkaEventBusConfig().consumer_name


def test_a_consumer_may_be_named() -> None:
    """The broker's log shows it."""
    assert KafkaEventBusConfig(consumer_name="mail-1").get_consumer_config()["client_id"] == "mail-1"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"bootstrap_servers": ""}, "bootstrap_servers must not be empty"),
        ({"topic_prefix": ""}, "topic_prefix must not be empty"),
        ({"consumer_group": ""}, "consumer_group must not be empty"),
        ({"dlq_topic_suffix": ""}, "dead letters need their own topic"),
        ({"acks": 2}, "acks must be one of 'all', 0, 1, not 2"),
        ({"acks": "1"}, "acks must be one of 'all', 0, 1, not '1'"),
        (
            {"compression_type": "rar"},
            "compression_type must be one of None, 'gzip', .*not 'rar'",
        ),
        ({"auto_offset_reset": "none"}, "auto_offset_reset must be one of 'earliest', 'latest', not 'none'"),
        ({"batch_size": 0}, "batch_size must be positive, not 0"),
        ({"max_request_size": 0}, "max_request_size must be positive"),
        ({"max_concurrency": 0}, "max_concurrency must be positive"),
        ({"max_in_flight": 0}, "max_in_flight must be positive"),
        ({"max_offset_span": 0}, "max_offset_span must be positive"),
        ({"connect_timeout": float("nan")}, "connect_timeout must be positive, not nan"),
        ({"publish_timeout": 0}, "publish_timeout must be positive"),
        ({"lag_interval": -1.0}, "lag_interval must be positive"),
        ({"linger_ms": -1}, "linger_ms must be 0 or more, not -1"),
        ({"dlq_max_replay_attempts": -1}, "dlq_max_replay_attempts must be 0 or more"),
        (
            {"session_timeout_ms": 9000},
            r"heartbeat_interval_ms \(10000\) must be less than session_timeout_ms",
        ),
        ({"max_retries": -1}, "max_retries"),
        ({"retry_base_delay": 2.0, "retry_max_delay": 1.0}, "max_delay"),
    ],
)
def test_what_makes_no_sense_is_refused(options: dict[str, Any], says: str) -> None:
    """It is said when the configuration is made, not when the first message comes."""
    with pytest.raises(ValueError, match=says):
        KafkaEventBusConfig(**options)


@pytest.mark.parametrize("acks", ["all", 0, 1])
def test_a_producer_understands_its_settings(acks: Any) -> None:
    """It is idempotent if all replicas confirm: only then does trying again repeat nothing."""
    settings = KafkaEventBusConfig(acks=acks, batch_size=5, linger_ms=7, max_request_size=9).get_producer_config()

    assert settings == {
        "bootstrap_servers": "localhost:9092",
        "acks": acks,
        "compression_type": "gzip",
        "max_batch_size": 5,
        "linger_ms": 7,
        "max_request_size": 9,
        "enable_idempotence": acks == "all",
        "security_protocol": "PLAINTEXT",
    }


def test_a_consumer_understands_its_settings() -> None:
    """Nothing is committed behind the back of the bus."""
    config = KafkaEventBusConfig(consumer_group="mail", consumer_name="me", auto_offset_reset="latest")

    assert config.get_consumer_config() == {
        "bootstrap_servers": "localhost:9092",
        "group_id": "mail",
        "client_id": "me",
        "auto_offset_reset": "latest",
        "session_timeout_ms": 30000,
        "heartbeat_interval_ms": 10000,
        "max_poll_interval_ms": 300000,
        "rebalance_timeout_ms": 30000,
        "enable_auto_commit": False,
        "security_protocol": "PLAINTEXT",
    }


async def test_the_driver_knows_all_settings() -> None:
    """Whoever makes a client by hand can use them as they are."""
    config = KafkaEventBusConfig()

    producer = AIOKafkaProducer(**config.get_producer_config())
    consumer = AIOKafkaConsumer(**config.get_consumer_config())

    await asyncio.gather(producer.stop(), consumer.stop())


def test_what_may_be_logged_says_what_is_read_and_written() -> None:
    """That is what somebody looks for first."""
    shown = KafkaEventBusConfig(topic_prefix="orders", consumer_group="mail", consumer_name="me").get_sanitized_config()

    assert shown["bootstrap_servers"] == "localhost:9092"
    assert (shown["topic_name"], shown["dlq_topic_name"]) == ("orders.stream", "orders.stream.dlq")
    assert (shown["group_id"], shown["consumer_name"]) == ("mail", "me")


@pytest.mark.parametrize(
    ("servers", "server"),
    [
        ("broker.example:9093", Server("broker.example", 9093)),
        ("one.example:9092,two.example:9092", Server("one.example:9092,two.example:9092")),
        ("broker.example", Server("broker.example")),
    ],
)
def test_a_bus_tells_its_server(servers: str, server: Server) -> None:
    """Host and port of the broker, or all of them."""
    assert KafkaEventBus(KafkaEventBusConfig(bootstrap_servers=servers)).server == server


def test_switches_for_observers_are_taken_over() -> None:
    """Whoever observes looks at the bus."""
    bus = KafkaEventBus(KafkaEventBusConfig(enable_tracing=False, enable_metrics=False, consumer_group="mail"))

    assert (bus.enable_tracing, bus.enable_metrics, bus.consumer_group) == (False, False, "mail")


def test_a_bus_without_a_configuration_has_the_usual_one() -> None:
    """A broker on this machine."""
    assert KafkaEventBus().config.bootstrap_servers == "localhost:9092"


def test_handlers_are_found_by_the_type_of_their_event() -> None:
    """Those of its class first, then those of every event."""
    bus = KafkaEventBus()
    bus.subscribe_to_all_events(handle_any)
    bus.subscribe(Opened, handle_opened)
    bus.subscribe(Closed, handle_any)

    handlers = bus.get_handlers_for_event("eventsource.testing.Opened")

    assert [each.name for each in handlers] == ["handle_opened", "handle_any"]


def test_the_configuration_needs_no_driver() -> None:
    """Only a bus does, and it says how to get it."""
    program = """
import sys
sys.modules["aiokafka"] = None
from eventsource.bus.kafka import *
assert not KAFKA_AVAILABLE
config = KafkaEventBusConfig(security_protocol="SSL")
assert config.create_ssl_context() is not None
try:
    KafkaEventBus(config)
except KafkaNotAvailableError as error:
    assert isinstance(error, ImportError)
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert "pip install 'eventsource-py[kafka]'" in done.stdout


def test_importing_a_bus_loads_no_driver() -> None:
    """It is loaded when a bus is made."""
    program = """
import sys
from eventsource.bus.kafka import KAFKA_AVAILABLE, KafkaEventBus
assert KAFKA_AVAILABLE
print("aiokafka" in sys.modules)
KafkaEventBus()
print("aiokafka" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout.split() == ["False", "True"]


def handle_opened(event: Opened) -> None: ...


def handle_any(event: object) -> None: ...
