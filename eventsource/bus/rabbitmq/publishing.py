"""Publishing events and dead letters."""

import asyncio
from collections.abc import Sequence

from eventsource.bus.rabbitmq.config import RabbitMQEventBusConfig
from eventsource.bus.rabbitmq.lasting import LastingLine, Purpose
from eventsource.bus.rabbitmq.messages import Outgoing
from eventsource.bus.rabbitmq.outlet import Outlet, error_of, in_windows, is_loss
from eventsource.exceptions import BrokerConnectionError, PublishError, PublishTimeoutError


class Publisher:
    """Publishes over *line*, and goes on when that was lost."""

    def __init__(self, config: RabbitMQEventBusConfig, line: LastingLine) -> None:
        self._config = config
        self._line = line

    async def send(self, messages: Sequence[Outgoing], since: int | None = None) -> None:
        """
        Publish *messages* in their order, and return once all are confirmed.

        Args:
            messages: What to publish.
            since: How often the line had been closed when that began of which this is a part.

        Raises:
            BrokerConnectionError: If the connection cannot be made, or not again in time.
            NotConnectedError: If it was closed meanwhile.
            PublishError: If the broker does not take one.
        """
        since = self._line.times_closed if since is None else since
        for window in in_windows(messages, self._config.batch_size):
            await self._send(window, Purpose.EVENTS, since)

    async def send_dead_letter(self, message: Outgoing) -> None:
        """Publish *message* likewise, on a channel where it waits for no event."""
        await self._send([message], Purpose.DEAD_LETTERS, self._line.times_closed)

    async def _send(self, window: list[Outgoing], purpose: Purpose, since: int) -> None:
        deadline = asyncio.get_running_loop().time() + self._config.publish_timeout
        while window := await self._attempt(window, purpose, since, deadline):
            self._line.check(since)
            await self._wait_until_next(deadline, len(window))

    async def _attempt(self, window: list[Outgoing], purpose: Purpose, since: int, deadline: float) -> list[Outgoing]:
        """Publish *window*, and return what has to be published again because the connection was lost."""
        try:
            outlet = await self._outlet_until(deadline, purpose, since)
        except BrokerConnectionError:
            self._line.check(since)
            if self._line.is_wanted:
                return window
            raise
        outcomes = await outlet.send(window, deadline)
        errors = [
            error_of(message, outcome, self._config.publish_timeout)
            for message, outcome in zip(window, outcomes, strict=True)
            if outcome is not None and not is_loss(message, outcome)
        ]
        if errors:
            self._raise_first(errors, outlet)
        return [message for message, outcome in zip(window, outcomes, strict=True) if outcome is not None]

    def _raise_first(self, errors: list[PublishError], outlet: Outlet) -> None:
        if any(isinstance(error, PublishTimeoutError) for error in errors):
            self._line.drop(outlet)  # a connection that nobody answers on may be dead without anybody having noticed
        raise errors[0]

    async def _wait_until_next(self, deadline: float, unconfirmed: int) -> None:
        remaining = deadline - asyncio.get_running_loop().time()
        if remaining <= 0:
            raise BrokerConnectionError(
                f"the connection to RabbitMQ at {self._config.masked_url} was lost, and not to be had again within "
                f"{self._config.publish_timeout} s; {unconfirmed} message(s) are not confirmed: publish again"
            )
        await asyncio.sleep(min(self._config.reconnect_delay, remaining))

    async def _outlet_until(self, deadline: float, purpose: Purpose, since: int) -> Outlet:
        try:
            async with asyncio.timeout_at(deadline):
                return await self._line.outlet(purpose, since)
        except TimeoutError as error:
            raise BrokerConnectionError(
                f"RabbitMQ at {self._config.masked_url} cannot be connected to within {self._config.publish_timeout} s"
            ) from error
