"""Members of a group that come, leave and are killed handle everything, and each aggregate in its order."""

import subprocess
from collections.abc import Callable, Iterator
from itertools import cycle
from pathlib import Path

import pytest
from proofs.group import AGGREGATES, Group

from services.brokers import BROKERS


@pytest.fixture(params=BROKERS)
def group(request: pytest.FixtureRequest, start: Callable[..., "subprocess.Popen[str]"], tmp_path: Path) -> Group:
    """A group without members yet, at the broker that all tests share."""
    address = request.getfixturevalue(BROKERS[request.param].address)
    return Group(start, request.param, address, tmp_path / "handled.log")


def test_the_order_of_each_aggregate_holds_whoever_comes_and_goes(
    group: Group, size: Callable[[int, int], int], report: Callable[[str], None]
) -> None:
    """No event is begun before the one before it was done; none is missing, though each tenth fails at first."""
    events, changes = size(3_000, 20_000), cycle([kill_while_two_join, leave, kill_and_replace, leave_and_replace])
    group.join(2)
    group.await_members()

    for change in _at_times(group.publish(events, size(6, 120)), size(3, 24), changes):
        change(group)
    missing = group.missing_after_all(events)

    handlings = group.handlings
    group.close()
    assert missing == set()
    assert list(handlings.out_of_order()) == []
    assert handlings.failures >= events // 10
    report(f"{handlings}")


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


def _at_times(published, number, changes):
    ...
