"""What every checkpoint repository promises."""

from eventsource.testing.checkpoint_repository_leasing import LeasingContract
from eventsource.testing.checkpoint_repository_measuring import MeasuringContract
from eventsource.testing.checkpoint_repository_moving import MovingContract
from eventsource.testing.checkpoint_repository_refusing import RefusingContract
from eventsource.testing.checkpoint_repository_resetting import ResettingContract


class CheckpointRepositoryContract(
    MovingContract, ResettingContract, LeasingContract, MeasuringContract, RefusingContract
):
    """
    What every checkpoint repository promises; a backend's test class overrides the fixture ``checkpoints``.

    The fixture gives each test an open repository without checkpoints and leases, which was given the fixture
    ``event_store``.
    """
