"""The errors of a bus over RabbitMQ that others do not have."""

from collections.abc import Mapping, Sequence

from eventsource.exceptions import EventBusError, EventSourceError, PublishError


class RabbitMQNotAvailableError(EventSourceError, ImportError):
    """The driver for RabbitMQ is not installed."""

    def __init__(self) -> None:
        super().__init__("RabbitMQEventBus needs aio-pika: pip install 'eventsource-py[rabbitmq]'")


class ShutdownError(EventBusError):
    """A bus was used after it had been shut down; it raises `NotConnectedError` by itself."""

    def __init__(self, message: str = "Event bus has been shut down") -> None:
        super().__init__(message)


class BatchPublishError(PublishError):
    """Some events of a batch were not published; ``results`` has the numbers, ``errors`` what went wrong, in order."""

    def __init__(
        self, message: str, results: Mapping[str, int] | None = None, errors: Sequence[Exception] | None = None
    ) -> None:
        super().__init__(message)
        self.results = dict(results or {})
        self.errors = list(errors or ())
