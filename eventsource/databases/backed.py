"""What all stores on databases have in common: opening and closing one that they share."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, Generic, Protocol, Self, TypeVar
from weakref import WeakKeyDictionary

from eventsource.exceptions import NotConnectedError


class Closable(Protocol):
    """The connections to a database."""

    async def close(self) -> None:
        """Finish what was asked for, then close all connections."""


Database = TypeVar("Database", bound=Closable)


@dataclass(slots=True)
class _Shared(Generic[Database]):
    database: Database
    users: int = 0


_open: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Hashable, _Shared[Any]]] = WeakKeyDictionary()


class Lease(Generic[Database]):
    """
    The right to use a database, which the stores of one event loop that open it alike share.

    Args:
        key: What is the same for those who share it; None for one that nobody else has.
        make: Makes it, for the first of them.
    """

    def __init__(self, key: Hashable | None, make: Callable[[], Database]) -> None:
        self._key = key
        self._databases = {} if key is None else _open.setdefault(asyncio.get_running_loop(), {})
        self._shared: _Shared[Database] = self._databases.get(key) or _Shared(make())
        self._shared.users += 1
        self._databases[key] = self._shared
        self.is_ready = False
        self.openers = 0

    @property
    def database(self) -> Database:
        """The database."""
        return self._shared.database

    async def release(self) -> None:
        """Give the right back; the last one closes the database."""
        self._shared.users -= 1
        if self._shared.users == 0:
            del self._databases[self._key]
            await self._shared.database.close()


class DatabaseBacked(ABC, Generic[Database]):
    """A store on a database; subclasses say how that is opened, and which tables they need."""

    known_as: str | None = None
    """What errors call it, if it is a part of something that users know under another name."""

    _lease: Lease[Database] | None = None

    @property
    def is_connected(self) -> bool:
        """Whether the store can be used."""
        return self._lease is not None

    async def initialize(self) -> None:
        """
        Open the database and create the tables that are missing; may be called again.

        Raises:
            DatabaseError: If it cannot be opened, or has a table of another layout.
        """
        lease = self._lease = self._lease or self._new_lease()
        if lease.is_ready:
            return
        lease.openers += 1
        try:
            await self._create_missing(lease.database)
            lease.is_ready = True
        except BaseException:
            if lease.openers == 1 and not lease.is_ready and lease is self._lease:  # no other task wants it open
                await DatabaseBacked.close(self)  # and not what a subclass has besides, which others may be opening
            raise
        finally:
            lease.openers -= 1

    async def close(self) -> None:
        """Finish what was asked for and close the database; may be called again."""
        lease, self._lease = self._lease, None
        if lease is not None:
            await lease.release()

    async def __aenter__(self) -> Self:
        await self.initialize()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    @property
    def _connected(self) -> Database:
        if self._lease is None:
            raise NotConnectedError(
                f"{self.known_as or type(self).__name__} on {self._place!r} is not open: use it inside 'async with', "
                "or call initialize() first and close() last"
            )
        return self._lease.database

    @property
    @abstractmethod
    def _place(self) -> str:
        """What errors call the database."""

    @abstractmethod
    def _new_lease(self) -> Lease[Database]: ...

    @abstractmethod
    async def _create_missing(self, database: Database) -> None: ...
