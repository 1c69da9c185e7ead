"""What runners refuse at construction, and a rebuild that would do harm."""

from collections.abc import Callable
from typing import Any

import pytest

from eventsource.events.base import DomainEvent
from eventsource.exceptions import RebuildError
from eventsource.handlers import handles
from eventsource.projections.base import DeclarativeProjection
from eventsource.retry import NoRetryPolicy
from eventsource.testing.events import Opened

New = Callable[..., Any]

NUMBERS = (
    "batch_size",
    "checkpoint_every",
    "checkpoint_interval",
    "poll_interval",
    "lease_seconds",
    "lag_interval",
)


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1])
def test_a_number_that_is_no_pace_is_refused(recorder: New, runner_of: New, name: str, value: float) -> None:
    """It would be a runner that never looks, or never rests."""
    with pytest.raises(ValueError, match=f"{name} must be positive, not {value}"):
        runner_of(recorder(), **{name: value})


@pytest.mark.parametrize("name", [name for name in NUMBERS if name != "checkpoint_interval"])
def test_nothing_is_refused(recorder: New, runner_of: New, name: str) -> None:
    """Except between the last event and its checkpoint, where it means at once."""
    with pytest.raises(ValueError, match=f"{name} must be positive, not 0"):
        runner_of(recorder(), **{name: 0})

    assert runner_of(recorder(), checkpoint_interval=0)


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("value", ["5", None, True])
def test_what_is_no_number_is_refused(recorder: New, runner_of: New, name: str, value: object) -> None:
    """The error names it."""
    with pytest.raises(TypeError, match=f"{name} must be a number, not {value!r}"):
        runner_of(recorder(), **{name: value})


def test_a_back_off_that_is_no_configuration_is_refused(recorder: New, runner_of: New) -> None:
    """A policy is something else: how often to try is not the question."""
    with pytest.raises(TypeError, match="restart_backoff must be of type RetryConfig"):
        runner_of(recorder(), restart_backoff=NoRetryPolicy())


def test_what_tracks_no_checkpoint_is_refused(runner_of: New) -> None:
    """The message says what to derive it from."""
    with pytest.raises(TypeError, match="tracks no checkpoint: derive it from CheckpointTrackingProjection"):
        runner_of(object())


def test_a_projection_that_wants_no_events_is_refused(runner_of: New) -> None:
    """Its author has forgotten something, most likely the decorator."""

    class Forgetful(DeclarativeProjection):
        async def on_opened(self, event: Opened) -> None: ...

    with pytest.raises(ValueError, match=r"Forgetful wants no events: mark its handlers with @handles\(Event\)"):
        runner_of(Forgetful())


class Mailer(DeclarativeProjection):
    """Sends something, and has no read model."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[DomainEvent] = []

    @handles(Opened)
    async def on_opened(self, event: Opened) -> None:
        self.sent.append(event)


async def test_what_cannot_be_emptied_is_not_rebuilt(store: Any, append: New, runner_of: New) -> None:
    """Its events would be reflected twice: nothing is reset, and the message says what to implement."""
    mailer = Mailer()
    async with runner_of(mailer, checkpoint_every=1) as runner:
        await runner.wait_for(await append(store, 1), timeout=20)

        with pytest.raises(RebuildError, match=r"Mailer cannot be rebuilt: .* implement _truncate_read_models\(\)"):
            await runner.rebuild()

        assert (len(mailer.sent), await mailer.checkpoints.get_position("Mailer")) == (1, 1)
