"""The sessions that somebody has at a PostgreSQL."""

import asyncio
from typing import Any
from uuid import uuid4

from services.postgresql_writers import PATIENCE


class Sessions:
    """Those of whoever connects to its address, as somebody else at the server sees them."""

    def __init__(self, dsn: str, observer: Any) -> None:
        self._name = f"test-{uuid4()}"
        self._observer = observer
        self.address = f"{dsn}?application_name={self._name}"
        """That of the server, by a name that nobody else has."""

    async def pids(self, latest: str = "%") -> list[int]:
        """Return the processes of those whose latest statement is *latest*, a pattern."""
        query = "SELECT pid FROM pg_stat_activity WHERE application_name = $1 AND query LIKE $2 ORDER BY pid"
        return [pid for (pid,) in await self._observer.fetch(query, self._name, latest)]

    async def terminate(self, latest: str = "%") -> list[int]:
        """End those whose latest statement is *latest*, and return which they were."""
        ended = await self.pids(latest)
        for pid in ended:
            await self._observer.execute("SELECT pg_terminate_backend($1, 10000)", pid)
        return ended

    async def become(self, count: int, latest: str = "%") -> list[int]:
        """Return the processes once there are so many."""
        async with asyncio.timeout(PATIENCE):
            while len(pids := await self.pids(latest)) != count:  # noqa: ASYNC110 - the server tells nobody
                await asyncio.sleep(0.01)
        return pids
