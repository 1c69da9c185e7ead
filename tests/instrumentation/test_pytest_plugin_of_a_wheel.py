"""A user's tests, under ``opentelemetry-instrument``, with the distribution installed as it is delivered."""

import json
import os
import subprocess
import sys
import sysconfig
from importlib import metadata
from pathlib import Path
from urllib.parse import urlparse
from urllib.request import url2pathname
from zipfile import ZipFile

import pytest

TESTS = """
import asyncio
from uuid import uuid4

import eventsource
from eventsource import DomainEvent, InMemoryEventStore


class Opened(DomainEvent):
    aggregate_type: str = "Door"


def test_an_append_has_a_span(eventsource_spans):
    door = uuid4()

    asyncio.run(InMemoryEventStore().append_events(door, "Door", [Opened(aggregate_id=door)], 0))

    assert eventsource_spans.names == ["eventsource.event_store.append_events"]


def test_here_it_is_installed_from_a_wheel():
    print(eventsource.__file__)
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """The directory where the distribution is installed from a wheel; one that is made here, if it is editable."""
    distribution = metadata.distribution("eventsource-py")
    origin = json.loads(distribution.read_text("direct_url.json") or "{}")
    if not origin.get("dir_info", {}).get("editable", False):
        return Path(str(distribution.locate_file("")))
    root = Path(url2pathname(urlparse(origin["url"]).path))
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=root, check=True, capture_output=True, text=True)
    with ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        wheel.extractall(tmp_path / "site")
    return tmp_path / "site"


def test_nothing_is_warned_about(site: Path, tmp_path: Path) -> None:
    """Both packages are imported before pytest could rewrite their assertions, of which there are none to rewrite."""
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "project" / "test_doors.py").write_text(TESTS)
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL", "PYTEST", "PYTHON"))}
    command = [
        str(Path(sysconfig.get_path("scripts")) / "opentelemetry-instrument"),
        *("--traces_exporter", "none", "--metrics_exporter", "none", "--logs_exporter", "none"),
        *(sys.executable, "-m", "pytest", "-s", "-W", "error", "-p", "no:cacheprovider", "-p", "no:asyncio"),
    ]

    environment = inherited | {"PYTHONPATH": str(site)}
    done = subprocess.run(
        command, cwd=tmp_path / "project", env=environment, check=False, capture_output=True, text=True
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout
    assert "warning" not in done.stdout.lower()
    assert str(site / "eventsource" / "__init__.py") in done.stdout
