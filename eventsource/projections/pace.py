"""How much a runner does at a time, and how often."""

from dataclasses import dataclass, fields
from math import isfinite


@dataclass(frozen=True, slots=True)
class Pace:
    """
    Numbers of events and of seconds, as `ProjectionRunner` explains them.

    Raises:
        TypeError: If one is no number.
        ValueError: If one is not positive and finite; ``checkpoint_interval`` may be 0.
    """

    batch_size: int
    checkpoint_every: int
    checkpoint_interval: float
    poll_interval: float
    lease_seconds: float
    lag_interval: float

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise TypeError(f"{field.name} must be a number, not {value!r}")
            if not isfinite(value) or value < 0 or (value == 0 and field.name != "checkpoint_interval"):
                raise ValueError(f"{field.name} must be positive, not {value}")
