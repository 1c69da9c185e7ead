"""Finding and starting services, tried with a server that starts at once."""

import json
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest

from services import __main__ as command_line
from services import finding
from services.availability import NotAvailableError
from services.finding import find, provide, release
from services.fixtures import do_without
from services.processes import Process, free_ports, holds_within
from services.server import Server, StartError

DOCKER = """#!/bin/sh
echo "$@" >> {calls}
"""

POLITE = """
import http.server, signal, sys
signal.signal(signal.SIGUSR1, lambda *_: sys.exit("farewell"))
http.server.test(http.server.SimpleHTTPRequestHandler, port=int(sys.argv[1]), bind="127.0.0.1")
"""


class Pages(Server):
    """Serves its directory; a stand-in for a broker."""

    title = "Pages"
    variable = "EVENTSOURCE_TEST_PAGES"
    container = "http://127.0.0.1:1/"
    installed = True

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        [self._port] = free_ports(1)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._port}/"

    @classmethod
    def install(cls) -> None:
        if not cls.installed:
            raise NotAvailableError("fetch Pages from the shelf")

    @staticmethod
    def answers(address: str) -> bool:
        try:
            with urlopen(address, timeout=1) as answer:
                return answer.status == 200
        except OSError:
            return False

    def _start(self) -> None:
        self._begin(sys.executable, "-m", "http.server", "--bind", "127.0.0.1", str(self._port))


class Broken(Pages):
    """Ends as soon as it is started."""

    def _start(self) -> None:
        self._begin(sys.executable, "-c", "raise SystemExit('no room')")


class Polite(Pages):
    """Says farewell when it is asked to end in its own way; keeps something outside of its directory."""

    ending = signal.SIGUSR1

    @property
    def leftovers(self) -> list[Path]:
        return [self.directory.with_suffix(".kept")]

    def _start(self) -> None:
        for leftover in self.leftovers:
            leftover.mkdir(exist_ok=True)
        self._begin(sys.executable, "-c", POLITE, str(self._port))


@pytest.fixture
def pages(tmp_path: Path) -> Iterator[Pages]:
    """One that runs."""
    with Pages(tmp_path / "private") as server:
        yield server


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where services are written down: empty, on a machine without Docker that is not CI."""
    monkeypatch.setattr(finding, "DIRECTORY", tmp_path)
    monkeypatch.setattr(command_line, "DIRECTORY", tmp_path)
    monkeypatch.setattr(command_line, "ALL", (Pages,))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.delenv("CI", raising=False)
    yield tmp_path
    release(Pages)


def test_a_killed_server_comes_back_at_its_address(pages: Pages) -> None:
    """Clients that reconnect find it."""
    pages.kill()
    away = not pages.answers(pages.address)

    pages.start()

    assert away
    assert pages.answers(pages.address)


def test_a_frozen_server_is_silent_until_it_is_thawed(pages: Pages) -> None:
    """Its port stays open meanwhile."""
    pages.freeze()
    silent = not pages.answers(pages.address)

    pages.thaw()

    assert silent
    assert pages.answers(pages.address)


def test_a_server_can_be_stopped_while_it_is_frozen(pages: Pages) -> None:
    """What a test has done to it does not keep it alive."""
    [process] = pages.processes
    pages.freeze()

    pages.stop()

    assert not process.runs()


def test_a_server_is_stopped_in_its_own_way(tmp_path: Path) -> None:
    """Not every one takes the usual signal for good order."""
    with Polite(tmp_path / "private") as server:
        server.stop()

    assert "farewell" in server.log.read_text()


def test_a_server_leaves_nothing_outside_of_its_directory(tmp_path: Path) -> None:
    """What it needs to come back goes only at the end."""
    with Polite(tmp_path / "private") as server:
        [kept] = server.leftovers
        server.kill()
        is_there = kept.exists()

    assert is_there
    assert not kept.exists()


def test_a_server_that_does_not_start_shows_its_log(tmp_path: Path) -> None:
    """Nobody has to look for the reason."""
    with pytest.raises(StartError, match="no room"):
        Broken(tmp_path).start()


def test_a_process_with_the_number_of_another_is_left_alone(pages: Pages) -> None:
    """Numbers are given again after a restart of the machine."""
    [process] = pages.processes

    Process(process.number, "earlier").end()

    assert process.runs()


def test_what_runs_is_not_started_again() -> None:
    """The second call takes no time."""
    first = provide(Pages)

    assert provide(Pages) == first == find(Pages)


def test_what_has_died_is_started_again(directory: Path) -> None:
    """What is written down may be from before a restart of the machine."""
    first = provide(Pages)
    for number, began in json.loads((directory / "pages.json").read_text())["processes"]:
        Process(number, began).end()

    assert provide(Pages) != first
    assert Pages.answers(find(Pages))


def test_what_was_started_is_ended() -> None:
    """It is known by its number, and forgotten."""
    address = provide(Pages)

    release(Pages)

    assert holds_within(10, lambda: not Pages.answers(address))
    with pytest.raises(NotAvailableError, match="make services"):
        find(Pages)


def test_what_was_started_is_ended_in_its_own_way_and_leaves_nothing(directory: Path) -> None:
    """Only its directory stays, for whoever wants to read its log."""
    provide(Polite)

    release(Polite)

    assert "farewell" in (directory / "polite" / "server.log").read_text()
    assert not (directory / "polite.kept").exists()


def test_the_address_in_the_environment_wins(pages: Pages, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing else is started."""
    provide(Pages)

    monkeypatch.setenv(Pages.variable, pages.address)

    assert provide(Pages) == find(Pages) == pages.address


def test_an_address_in_the_environment_has_to_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever names a server means that one and no other."""
    provide(Pages)

    monkeypatch.setenv(Pages.variable, "http://127.0.0.1:1/")

    with pytest.raises(NotAvailableError, match=f"{Pages.variable} is set"):
        find(Pages)


def test_a_container_is_started_where_nothing_is_installed(
    pages: Pages, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is removed by who started it."""
    docker, calls = directory / "bin" / "docker", directory / "calls"
    docker.parent.mkdir()
    docker.write_text(DOCKER.format(calls=calls))
    docker.chmod(0o755)
    monkeypatch.setattr(Pages, "installed", False)
    monkeypatch.setattr(Pages, "container", pages.address)

    address = provide(Pages)
    release(Pages)

    verbs = [line.partition("docker-compose.yml ")[2] for line in calls.read_text().splitlines()]
    assert address == pages.address
    assert verbs == ["", "ps --quiet pages", "up --detach pages", "rm --stop --force --volumes pages"]


def test_what_is_missing_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its tests are skipped for that reason."""
    monkeypatch.setattr(Pages, "installed", False)

    code = command_line.main(["start"])

    assert code == 0
    assert "its tests are skipped: fetch Pages from the shelf" in capsys.readouterr().out
    with pytest.raises(NotAvailableError, match="fetch Pages from the shelf"):
        find(Pages)


def test_nothing_may_be_missing_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the command nor a test goes on without."""
    monkeypatch.setattr(Pages, "installed", False)
    monkeypatch.setenv("CI", "true")

    assert command_line.main(["start"]) == 1
    with pytest.raises(pytest.fail.Exception, match="the reason"):
        do_without("the reason")


def test_a_test_is_skipped_for_want_of_what_it_needs() -> None:
    """The reason is shown."""
    with pytest.raises(pytest.skip.Exception, match="the reason"):
        do_without("the reason")
