"""A consumer that is killed again and again leaves no event out."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from proofs.group import Group

from services.brokers import BROKERS

pytestmark = pytest.mark.servers


@pytest.fixture(params=BROKERS)
def group(request: pytest.FixtureRequest, start: Callable[..., "subprocess.Popen[str]"], tmp_path: Path) -> Group:
    """A group without members yet, at the broker that all tests share."""
    address = request.getfixturevalue(BROKERS[request.param].address)
    return Group(start, request.param, address, tmp_path / "handled.log")


def test_nothing_is_missing_after_the_only_consumer_was_killed(
    group: Group, size: Callable[[int, int], int], report: Callable[[str], None]
) -> None:
    """Its successor goes on with what was not settled, in the order of the aggregates."""
    events, kills = size(1_000, 20_000), size(3, 20)
    group.join()
    group.await_members()

    def replace() -> None:
        group.kill()
        group.join()

    publication = group.publish(events, size(1, 10))
    group.amid_handling(events, [replace] * kills)
    publication.amid()
    missing = group.missing_after_all(events)

    handlings = group.handlings
    group.close()
    assert missing == set()
    assert list(handlings.out_of_order()) == []
    report(f"the only consumer killed {kills} times: 0 missing, 0 out of order: {handlings}")
