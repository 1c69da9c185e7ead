"""Whether the driver is installed, without importing it."""

from importlib.util import find_spec

RABBITMQ_AVAILABLE = find_spec("aio_pika") is not None
"""Whether a `RabbitMQEventBus` can be made."""
