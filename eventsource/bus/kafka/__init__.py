"""An event bus over Kafka."""
