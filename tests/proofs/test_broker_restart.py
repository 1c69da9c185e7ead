"""A broker that is killed or stands still has lost nothing that it has confirmed, and is found again by everybody."""

import subprocess
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from proofs.group import Group

from services.brokers import BROKERS
from services.server import Server

pytestmark = pytest.mark.servers

PUBLISH_TIMEOUT = 3.0
STANDSTILL = 5.0
"""Longer than anybody waits."""
MARGIN = 2.0
"""Seconds that a process may be kept from running, beside a broker that starts."""


@pytest.fixture(params=BROKERS)
def server(request: pytest.FixtureRequest) -> Server:
    """A broker of the test's own."""
    start: Callable[[], Server] = request.getfixturevalue(f"start_{request.param}")
    return start()


@pytest.fixture
def group(
    request: pytest.FixtureRequest, server: Server, start: Callable[..., "subprocess.Popen[str]"], tmp_path: Path
) -> Group:
    """A group without members yet."""
    broker = request.node.callspec.params["server"]
    return Group(start, broker, server.address, tmp_path / "handled.log", PUBLISH_TIMEOUT)


def test_nothing_confirmed_is_missing_after_a_broker_was_away(
    group: Group, server: Server, size: Callable[[int, int], int], report: Callable[[str], None]
) -> None:
    """The consumer that there was handles all, in the order of aggregates, and nobody publishes longer than allowed."""
    events, times = size(2_000, 20_000), size(1, 3)
    group.join()
    group.await_members()

    publication = group.publish(events, size(3, 30))
    published = publication.amid([partial(restart, server), partial(stand_still, server)] * times)
    missing = group.missing_after_all(events)

    handlings = group.handlings
    group.close()
    assert missing == set()
    assert list(handlings.out_of_order()) == []
    assert published.longest < PUBLISH_TIMEOUT + MARGIN
    report(
        f"broker killed {times} time(s), and frozen as often: 0 missing, 0 out of order: {handlings}; publishing took "
        f"at most {published.longest:.2f} s (allowed: {PUBLISH_TIMEOUT} s), and failed {published.failures} times"
    )


def restart(server: Server) -> None:
    server.kill()
    server.start()


def stand_still(server: Server) -> None:
    server.freeze()
    time.sleep(STANDSTILL)
    server.thaw()
