"""An event bus over RabbitMQ."""
