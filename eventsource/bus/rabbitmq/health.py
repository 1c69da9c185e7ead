"""Whether a bus can do its work, and how its queue is."""

from aio_pika.exceptions import ChannelNotFoundEntity

from eventsource.bus.rabbitmq.config import RabbitMQEventBusConfig
from eventsource.bus.rabbitmq.connection import bounded
from eventsource.bus.rabbitmq.lasting import LastingLine
from eventsource.bus.rabbitmq.values import HealthCheckResult, QueueInfo


class Examination:
    """Asks the broker over *line*, made again if it was lost; never raises, and ends within the time-outs."""

    def __init__(self, config: RabbitMQEventBusConfig, line: LastingLine) -> None:
        self._config = config
        self._line = line

    async def queue_info(self) -> QueueInfo:
        """Return how the queue of the consumer group is."""
        return await self._look_at(self._config.queue_name)

    async def health(self, *, is_consuming: bool) -> HealthCheckResult:
        """Return whether the bus can publish, and consume if it is to; without that it needs no queue of its own."""
        try:
            await self._line.reopen()
        except Exception as error:  # whatever it is, it is what there is to tell
            return HealthCheckResult(
                healthy=False,
                connection_status="disconnected",
                channel_status="closed",
                queue_status="unknown",
                error=str(error),
            )
        queue = await self._look_at(self._config.queue_name)
        result = HealthCheckResult(
            healthy=_is_fine(queue, is_consuming),
            connection_status="connected",
            channel_status="open",
            queue_status=_status_of(queue),
            error=None if _is_fine(queue, is_consuming) else queue.error,
            details={"message_count": queue.message_count, "consumer_count": queue.consumer_count},
        )
        if result.healthy and self._config.enable_dlq:
            dlq = await self._look_at(self._config.dlq_queue_name)
            result.dlq_status = _status_of(dlq)
            result.healthy = _is_fine(dlq, is_consuming)
            result.error = None if result.healthy else dlq.error
        return result

    async def _look_at(self, name: str) -> QueueInfo:
        try:
            async with bounded(self._config, f"looking for queue {name!r}"), self._line.channel() as channel:
                try:
                    queue = await channel.get_queue(name)
                except ChannelNotFoundEntity as error:
                    return QueueInfo(name, 0, 0, "error", f"{_MISSING}: {error}")
        except Exception as error:  # whatever it is, it is what there is to tell
            return QueueInfo(name, 0, 0, "error", str(error))
        declared = queue.declaration_result
        consumers = declared.consumer_count or 0
        return QueueInfo(name, declared.message_count or 0, consumers, "running" if consumers else "idle")


_MISSING = "there is no such queue"


def _status_of(queue: QueueInfo) -> str:
    if queue.error is None:
        return "accessible"
    return "missing" if queue.error.startswith(_MISSING) else "error"


def _is_fine(queue: QueueInfo, is_consuming: bool) -> bool:
    status = _status_of(queue)
    return status == "accessible" or (status == "missing" and not is_consuming)
