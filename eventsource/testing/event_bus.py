"""What every event bus promises."""

from eventsource.testing.event_bus_closing import ClosingContract
from eventsource.testing.event_bus_delivering import DeliveringContract
from eventsource.testing.event_bus_subscribing import SubscribingContract


class EventBusContract(SubscribingContract, DeliveringContract, ClosingContract):
    """
    What every event bus promises; a backend's test class overrides the fixture ``bus``.

    The fixture gives each test a bus without subscriptions that hands on what is published, within this process or
    after a way round a broker, and shuts it down afterwards.
    """
