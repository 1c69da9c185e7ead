"""Members of a group that come, leave and are killed handle everything, and each aggregate in its order."""

import subprocess
from collections.abc import Callable
from functools import partial
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


def test_the_order_of_each_aggregate_holds_whoever_comes_and_goes(
    group: Group, size: Callable[[int, int], int], report: Callable[[str], None]
) -> None:
    """None is begun before the one before it was done, nor while another member is at one of its aggregate."""
    events = size(2_000, 20_000)
    changes = [kill_while_two_join, leave, kill_and_replace, leave_and_replace] * size(1, 6)
    group.join(2)
    group.await_members()

    publication = group.publish(events, size(2, 20))
    group.amid_handling(events, [partial(change, group) for change in changes])
    publication.amid()
    missing = group.missing_after_all(events)

    handlings = group.handlings
    group.close()
    assert missing == set()
    assert list(handlings.out_of_order()) == []
    assert list(handlings.overlapping()) == []
    assert handlings.failures >= events // 10
    report(f"members that came and went {len(changes)} times: 0 missing, 0 out of order: {handlings}")


def kill_while_two_join(group: Group) -> None:
    group.join(2)
    group.kill()


def leave(group: Group) -> None:
    group.leave()


def kill_and_replace(group: Group) -> None:
    group.kill()
    group.join()


def leave_and_replace(group: Group) -> None:
    group.leave()
    group.join()
