"""Dead letters: events that a projection could not handle, kept with the reason until somebody sees to them."""

from typing import TYPE_CHECKING

from eventsource.lazy import is_installed, lazy_names
from eventsource.projections.dead_letters.in_memory import InMemoryDLQRepository
from eventsource.projections.dead_letters.interface import DLQRepository
from eventsource.projections.dead_letters.values import DLQEntry, DLQStats, ProjectionFailureCount

if TYPE_CHECKING:
    from eventsource.projections.dead_letters.postgresql import PostgreSQLDLQRepository
    from eventsource.projections.dead_letters.sqlite import SQLiteDLQRepository

__all__ = [
    "DLQEntry",
    "DLQRepository",
    "DLQStats",
    "InMemoryDLQRepository",
    "ProjectionFailureCount",
    "SQLiteDLQRepository",
]

if is_installed("asyncpg"):  # 'import *' resolves what is lazy, and must not need a driver
    __all__ += ["PostgreSQLDLQRepository"]

__getattr__ = lazy_names(
    __name__,
    {
        "SQLiteDLQRepository": "eventsource.projections.dead_letters.sqlite",
        "PostgreSQLDLQRepository": "eventsource.projections.dead_letters.postgresql",
    },
)
