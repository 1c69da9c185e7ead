"""Ids of events: unique, and in the order of time."""

import os
import time
from uuid import UUID


def time_ordered_id() -> UUID:
    """
    Return a UUID of version 7, whose first bits are the time.

    Neighbours in time are neighbours in the index of a database, which makes appending to a large one faster than
    random ids do. RFC 9562, section 5.7; the twelve bits after the milliseconds are their fraction (section 6.2,
    method 3).
    """
    milliseconds, nanoseconds = divmod(time.time_ns(), 1_000_000)
    fraction = nanoseconds * 4096 // 1_000_000
    randomness = int.from_bytes(os.urandom(8), "big") & (2**62 - 1)
    return UUID(int=milliseconds << 80 | 7 << 76 | fraction << 64 | 2 << 62 | randomness)
