"""What every dead-letter repository promises."""

from eventsource.testing.dlq_repository_keeping import KeepingContract
from eventsource.testing.dlq_repository_listing import ListingContract
from eventsource.testing.dlq_repository_refusing import RefusingContract
from eventsource.testing.dlq_repository_settling import SettlingContract


class DLQRepositoryContract(KeepingContract, ListingContract, SettlingContract, RefusingContract):
    """
    What every dead-letter repository promises; a backend's test class overrides the fixture ``dead_letters``.

    The fixture gives each test an open repository without entries.
    """
