"""Have the servers that tests share, or end those that were started: python -m services start|stop."""

import fcntl
import sys
import time

from services.availability import NotAvailableError, required
from services.finding import DIRECTORY, provide, release
from services.kafka import Kafka
from services.postgresql import PostgreSQL
from services.rabbitmq import RabbitMQ
from services.server import Server

ALL: tuple[type[Server], ...] = (RabbitMQ, Kafka, PostgreSQL)


def main(arguments: list[str]) -> int:
    """Do what is asked for, one caller at a time, and return the exit code."""
    if arguments not in (["start"], ["stop"]):
        print(__doc__, file=sys.stderr)
        return 2
    DIRECTORY.mkdir(exist_ok=True)
    with (DIRECTORY / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if arguments == ["start"]:
            return max([_start(server) for server in ALL])
        for server in ALL:
            release(server)
    return 0


def _start(server: type[Server]) -> int:
    began = time.monotonic()
    try:
        provide(server)
    except NotAvailableError as error:
        print(f"{server.title} cannot be had, its tests {'fail' if required() else 'are skipped'}: {error}")
        return int(required())
    print(f"{server.title} is there, after {time.monotonic() - began:.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
