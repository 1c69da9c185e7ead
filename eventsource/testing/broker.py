"""What every event bus over a message broker promises."""

from eventsource.testing.broker_carrying import CarryingContract
from eventsource.testing.broker_consuming import ConsumingContract
from eventsource.testing.broker_ending import EndingContract
from eventsource.testing.broker_failing import FailingContract
from eventsource.testing.broker_retrying import RetryingContract
from eventsource.testing.broker_sharing import SharingContract


class BrokerContract(
    CarryingContract, SharingContract, RetryingContract, FailingContract, ConsumingContract, EndingContract
):
    """
    What every event bus over a message broker promises, besides the contract of event buses.

    A backend's test class overrides the fixtures ``make_bus``, ``hopeless_bus``, ``dead_letters``, ``replay`` and
    ``publish_raw``.
    """
