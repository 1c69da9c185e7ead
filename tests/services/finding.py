"""The servers that all tests share: found or started, and written down in .services."""

import json
import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

from services import packages
from services.availability import NotAvailableError, required
from services.processes import Process, holds_within
from services.server import PATIENCE, Server, StartError

ROOT = Path(__file__).parents[2]
DIRECTORY = ROOT / ".services"
COMPOSE = ("docker", "compose", "-f", str(ROOT / "docs" / "docker-compose.yml"))


def find(server: type[Server]) -> str:
    """
    Return the address of the one in the environment, else of the one that was provided.

    Raises:
        NotAvailableError: If it does not answer, or there is none.
    """
    if address := os.environ.get(server.variable):
        if server.answers(address):
            return address
        raise NotAvailableError(f"{server.variable} is set, but no {server.title} answers there")
    record = _read(server)
    if "address" in record and server.answers(record["address"]):
        return str(record["address"])
    raise NotAvailableError(record.get("missing", f"no {server.title} runs: run 'make services'"))


def provide(server: type[Server]) -> str:
    """
    Find one that runs, or start one in the background: a local one, else a container.

    Raises:
        NotAvailableError: If there is no way to have one.
    """
    if required():
        server.install()  # whatever is shared, tests that kill a broker start their own
    if os.environ.get(server.variable):
        return find(server)
    with suppress(NotAvailableError):
        return find(server)
    release(server)
    reasons = []
    for way in (_start_process, _start_container):
        try:
            record = way(server)
        except (NotAvailableError, StartError) as error:
            reasons.append(str(error))
        else:
            _path(server).write_text(json.dumps(record))
            return str(record["address"])
    reason = "\n".join(reasons)
    _path(server).write_text(json.dumps({"missing": reason}))
    raise NotAvailableError(reason)


def release(server: type[Server]) -> None:
    """End what was started, and nothing else."""
    record = _read(server)
    for number, began in record.get("processes", ()):
        Process(number, began).end(by=server.ending)
    if "container" in record:
        packages.run(*COMPOSE, "rm", "--stop", "--force", "--volumes", record["container"])
    for leftover in record.get("leftovers", ()):
        shutil.rmtree(leftover, ignore_errors=True)
    _path(server).unlink(missing_ok=True)


def _start_process(server: type[Server]) -> dict[str, Any]:
    server.install()
    directory = DIRECTORY / _name(server)
    shutil.rmtree(directory, ignore_errors=True)
    started = server(directory)
    started.start()
    processes = [(each.number, each.began) for each in started.leave()]
    return {"address": started.address, "processes": processes, "leftovers": [*map(str, started.leftovers)]}


def _start_container(server: type[Server]) -> dict[str, Any]:
    if not shutil.which("docker"):
        raise NotAvailableError("Docker is not installed")
    packages.run("docker", "info", seconds=30)
    record = {"address": server.container}
    if not packages.run(*COMPOSE, "ps", "--quiet", _name(server), seconds=30).strip():
        record["container"] = _name(server)
    packages.run(*COMPOSE, "up", "--detach", _name(server))
    if not holds_within(PATIENCE, lambda: server.answers(server.container)):
        raise StartError(packages.run(*COMPOSE, "logs", "--tail", "50", _name(server)))
    return record


def _read(server: type[Server]) -> dict[str, Any]:
    try:
        return dict(json.loads(_path(server).read_text()))
    except FileNotFoundError:
        return {}


def _path(server: type[Server]) -> Path:
    return DIRECTORY / f"{_name(server)}.json"


def _name(server: type[Server]) -> str:
    return server.__name__.lower()
