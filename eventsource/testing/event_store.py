"""What every event store promises."""

from eventsource.testing.event_store_appending import AppendingContract
from eventsource.testing.event_store_concurrency import ConcurrencyContract
from eventsource.testing.event_store_fidelity import FidelityContract
from eventsource.testing.event_store_iterating import IteratingContract
from eventsource.testing.event_store_reading import ReadingContract
from eventsource.testing.event_store_refusing import RefusingContract
from eventsource.testing.event_store_repeating import RepeatingContract
from eventsource.testing.event_store_selecting import SelectingContract


class EventStoreContract(
    AppendingContract,
    RefusingContract,
    RepeatingContract,
    FidelityContract,
    ReadingContract,
    IteratingContract,
    SelectingContract,
    ConcurrencyContract,
):
    """
    What every event store promises; a backend's test class overrides the fixture ``store``.

    The fixture gives each test an open store without events, which reads the types of the default registry.
    """
