"""Where the servers are that benchmarks need: those that tests use."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent.parent / "tests"))

from services.finding import find
from services.kafka import Kafka
from services.postgresql import PostgreSQL
from services.rabbitmq import RabbitMQ

__all__ = ["Kafka", "PostgreSQL", "RabbitMQ", "find"]
