"""Dead letters of projections, under the path where users look for them."""

from typing import TYPE_CHECKING

from eventsource.lazy import is_installed, lazy_names
from eventsource.projections.dead_letters import (
    DLQEntry,
    DLQRepository,
    DLQStats,
    InMemoryDLQRepository,
    ProjectionFailureCount,
)

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
