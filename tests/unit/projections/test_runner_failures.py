"""Runners live through failures of store, checkpoints and lease, say why they wait, and hold nobody up."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest

from eventsource.events.base import DomainEvent
from eventsource.exceptions import CheckpointError
from eventsource.retry import RetryConfig

New = Callable[..., Any]

GONE = OSError("the disk is gone")


async def test_a_store_that_fails_is_asked_again(
    store: Any, append: New, recorder: New, runner_of: New, until: New
) -> None:
    """It goes on where it was when the store is back, and says meanwhile what it waits for."""
    await append(store, 1, 2)
    projection = recorder()

    async with runner_of(projection) as runner:
        await runner.wait_for(timeout=20)
        store.error = GONE
        await until(lambda: store.failures > 3)
        failure = runner.failure
        store.error = None
        await runner.wait_for(await append(store, 3), timeout=20)
        await until(lambda: runner.failure is None)

    assert (failure, projection.begun) == (GONE, [1, 2, 3])


async def test_a_store_that_fails_from_the_start_is_asked_again(
    store: Any, append: New, recorder: New, runner_of: New, until: New
) -> None:
    """A runner may be up before its database is."""
    await append(store, 1)
    store.error = GONE
    projection = recorder()

    async with runner_of(projection) as runner:
        await until(lambda: store.failures > 3)
        store.error = None
        await runner.wait_for(timeout=20)

    assert projection.numbers == [1]


async def test_a_store_that_was_cancelled_by_something_else_has_failed(
    store: Any, append: New, recorder: New, runner_of: New, until: New
) -> None:
    """A driver may raise that; nobody has cancelled the runner."""
    projection = recorder()

    async with runner_of(projection) as runner:
        store.error = asyncio.CancelledError()
        await until(lambda: isinstance(runner.failure, asyncio.CancelledError))
        store.error = None
        await runner.wait_for(await append(store, 1), timeout=20)

    assert projection.numbers == [1]


async def test_each_failure_is_on_record(
    store: Any, recorder: New, runner_of: New, until: New, caplog: pytest.LogCaptureFixture
) -> None:
    """With what happens then; one that lasts has its stack there once."""
    store.error = GONE

    async with runner_of(recorder()):
        await until(lambda: len(errors(caplog)) > 2)

    told = errors(caplog)
    assert all("Projection recorder failed and begins again from its checkpoint" in each.getMessage() for each in told)
    assert [bool(each.exc_info) for each in told[:3]] == [True, False, False]
    assert (told[0].exc_info or (None, None))[1] is GONE


async def test_what_is_no_exception_ends_the_runner(
    store: Any, append: New, recorder: New, runner_of: New, until: New, caplog: pytest.LogCaptureFixture
) -> None:
    """Loudly: nobody may notice else before somebody stops it, who is told too."""

    class Outcome(BaseException):
        """No `Exception`, like that with which a test framework fails a test."""

    async def fail(event: DomainEvent) -> None:
        raise Outcome("failed")

    runner = runner_of(recorder(fail))
    await runner.start()
    await append(store, 1)
    await until(lambda: not runner.is_running)
    (raised,) = await asyncio.gather(runner.stop(), return_exceptions=True)

    (told,) = [each.getMessage() for each in caplog.records if each.levelname == "CRITICAL"]
    assert "Outcome('failed')" in repr(raised)
    assert told == f"The runner of projection recorder has ended: {raised!r}"


class TestALogThatEndsBeforeTheCheckpoint:
    async def test_it_is_a_failure_that_says_what_to_do(
        self, store: Any, checkpoints: Any, append: New, recorder: New, runner_of: New, until: New
    ) -> None:
        """What is appended by now would be taken for handled."""
        await append(store, 1, 2)
        await checkpoints.save_position("recorder", 5, None, None)
        projection = recorder()

        async with runner_of(projection) as runner:
            await until(lambda: runner.failure)
            failure = runner.failure

        assert (type(failure), projection.begun) == (CheckpointError, [])
        assert "the checkpoint is at 5, but the log ends at 2" in str(failure)
        assert "rebuild the projection" in str(failure)

    async def test_a_rebuild_is_the_cure(
        self, store: Any, checkpoints: Any, append: New, recorder: New, runner_of: New, until: New
    ) -> None:
        """As the message says; then all is well."""
        await append(store, 1, 2)
        await checkpoints.save_position("recorder", 5, None, None)
        projection = recorder()

        async with runner_of(projection) as runner:
            await until(lambda: runner.failure)
            await runner.rebuild(timeout=20)
            await runner.wait_for(await append(store, 3), timeout=20)
            await until(lambda: runner.failure is None)

        assert projection.numbers == [1, 2, 3]


class TestBackOff:
    async def test_it_grows_with_each_failure(
        self, store: Any, recorder: New, runner_of: New, until: New, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A database that is down is not hammered."""
        store.error = GONE
        backoff = RetryConfig(initial_delay=0.001, max_delay=0.1, exponential_base=10.0, jitter=0.0)

        async with runner_of(recorder(), restart_backoff=backoff):
            await until(lambda: len(seconds_told(caplog)) > 3)

        assert seconds_told(caplog)[:4] == [0.001, 0.01, 0.1, 0.1]

    async def test_it_begins_anew_when_all_is_well(
        self, store: Any, append: New, recorder: New, runner_of: New, until: New, caplog: pytest.LogCaptureFixture
    ) -> None:
        """The next failure is another one."""
        backoff = RetryConfig(initial_delay=0.001, max_delay=0.1, exponential_base=10.0, jitter=0.0)

        async with runner_of(recorder(), restart_backoff=backoff, checkpoint_every=1) as runner:
            for number in (1, 2):
                store.error = GONE
                await until(lambda: len(seconds_told(caplog)) >= 2)
                store.error = None
                await runner.wait_for(await append(store, number), timeout=20)
                told = seconds_told(caplog)
                caplog.clear()

        assert told[:2] == [0.001, 0.01]

    async def test_it_grows_while_the_checkpoint_cannot_be_saved(
        self,
        store: Any,
        checkpoints: Any,
        append: New,
        recorder: New,
        runner_of: New,
        until: New,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """Handling the same events over and over is no progress."""
        await append(store, 1, 2)
        backoff = RetryConfig(initial_delay=0.001, max_delay=0.1, exponential_base=10.0, jitter=0.0)

        async with runner_of(recorder(), restart_backoff=backoff, checkpoint_interval=0.01) as runner:
            await until(lambda: runner.position == 2)
            checkpoints.error = GONE
            await append(store, 3)
            await until(lambda: len(seconds_told(caplog)) > 3)
            checkpoints.error = None
            await runner.wait_for(timeout=20)

        assert seconds_told(caplog)[:4] == [0.001, 0.01, 0.1, 0.1]


class TestCheckpointsThatFail:
    async def test_nothing_is_left_out(
        self, store: Any, checkpoints: Any, append: New, recorder: New, runner_of: New, until: New
    ) -> None:
        """What was not saved is handled again, in order, as soon as that can be done."""
        await append(store, 1, 2, 3)
        projection = recorder()

        async with runner_of(projection, checkpoint_every=2) as runner:
            await until(lambda: runner.is_active)
            checkpoints.error = GONE
            await append(store, 4, 5, 6)
            await until(lambda: checkpoints.failures > 3)
            failure = runner.failure
            checkpoints.error = None
            await runner.wait_for(timeout=20)

        assert (failure, projection.numbers[-4:]) == (GONE, [3, 4, 5, 6])
        assert await checkpoints.get_position("recorder") == 6

    async def test_a_projection_that_cannot_begin_tries_again(
        self, store: Any, checkpoints: Any, append: New, recorder: New, runner_of: New, until: New
    ) -> None:
        """The first save is one too."""
        await append(store, 1)
        checkpoints.error = GONE
        projection = recorder()

        async with runner_of(projection) as runner:
            await until(lambda: checkpoints.failures > 3)
            before = list(projection.begun)
            checkpoints.error = None
            await runner.wait_for(timeout=20)

        assert (before, projection.numbers) == ([], [1])

    async def test_a_lease_that_cannot_be_had_is_asked_for_again(
        self, store: Any, checkpoints: Any, append: New, recorder: New, runner_of: New, until: New
    ) -> None:
        """The table may come later."""
        await append(store, 1)
        checkpoints.lease_error = GONE
        projection = recorder()

        async with runner_of(projection) as runner:
            await until(lambda: checkpoints.failures > 3)
            failure = runner.failure
            checkpoints.lease_error = None
            await runner.wait_for(timeout=20)
            await until(lambda: runner.failure is None)

        assert (failure, projection.numbers) == (GONE, [1])

    @pytest.mark.parametrize("error", [GONE, asyncio.CancelledError()], ids=["failed", "cancelled by something else"])
    async def test_a_lease_that_cannot_be_renewed_is_renewed_later(
        self,
        store: Any,
        checkpoints: Any,
        append: New,
        recorder: New,
        runner_of: New,
        until: New,
        error: BaseException,
    ) -> None:
        """The runner goes on meanwhile: nothing is lost as long as nobody else has it."""
        projection = recorder()

        async with runner_of(projection, lease_seconds=0.05) as runner:
            await runner.wait_for(await append(store, 1), timeout=20)
            checkpoints.lease_error = error
            await until(lambda: checkpoints.failures > 1)
            await runner.wait_for(await append(store, 2), timeout=20)
            checkpoints.lease_error, renewals = None, checkpoints.leasings
            await until(lambda: checkpoints.leasings > renewals + 1)

            assert runner.is_active

        assert projection.begun == [1, 2]

    async def test_one_that_cannot_be_saved_at_the_end_keeps_nobody_from_stopping(
        self, store: Any, checkpoints: Any, append: New, recorder: New, runner_of: New, until: New
    ) -> None:
        """A runner that is cancelled, because its handler hangs, ends without an error."""

        async def hang(event: DomainEvent) -> None:
            if len(projection.begun) == 2:
                checkpoints.error = OSError("the disk is gone")
                await asyncio.Event().wait()

        await append(store, 1, 2)
        projection = recorder(hang)
        runner = runner_of(projection)
        await runner.start()
        await until(lambda: checkpoints.error)

        await runner.stop(timeout=0.01)

        assert (runner.is_running, checkpoints.failures) == (False, 1)

    async def test_a_lease_that_cannot_be_given_back_keeps_nobody_from_stopping(
        self, store: Any, checkpoints: Any, recorder: New, runner_of: New, until: New
    ) -> None:
        """It expires by itself."""

        async def fail(release: Any) -> None:
            raise GONE

        runner = runner_of(recorder())
        await runner.start()
        await until(lambda: runner.is_active)
        checkpoints._release_lease = fail

        await runner.stop()

        assert not runner.is_running


class TestStandingBy:
    async def test_a_failure_is_over_when_the_lease_can_be_asked_for(
        self, store: Any, checkpoints: Any, recorder: New, runner_of: New, until: New
    ) -> None:
        """All is well with a runner that only waits for another one."""
        await checkpoints.acquire_lease("recorder", "somebody", 3600.0)
        checkpoints.lease_error = GONE

        async with runner_of(recorder(), lease_seconds=0.05) as runner:
            await until(lambda: runner.failure)
            checkpoints.lease_error, leasings = None, checkpoints.leasings
            await until(lambda: checkpoints.leasings > leasings + 1)

            assert runner.failure is None

    async def test_it_is_on_record_once(
        self, checkpoints: Any, recorder: New, runner_of: New, until: New, caplog: pytest.LogCaptureFixture
    ) -> None:
        """However often it asks for the lease; when it has the lease that is on record too."""
        caplog.set_level(logging.INFO)
        await checkpoints.acquire_lease("recorder", "somebody", 3600.0)
        leasings = checkpoints.leasings

        async with runner_of(recorder(), lease_seconds=0.02) as runner:
            await until(lambda: checkpoints.leasings > leasings + 5)
            await checkpoints.release_lease("recorder", "somebody")
            await until(lambda: runner.is_active)

        told = [each.getMessage() for each in caplog.records if each.name == "eventsource.projections.runner"]
        assert told == [
            "Projection recorder stands by: another runner has the lease",
            "Projection recorder goes on from position 0",
            "Projection recorder leaves off at position 0",
        ]


async def test_a_projection_that_fails_holds_up_no_other(
    store: Any, append: New, recorder: New, runner_of: New, until: New
) -> None:
    """Neither one whose handler hangs nor one whose dead letters are gone."""

    class Gone(type(recorder())):  # type: ignore[misc]
        async def _process_event(self, event: DomainEvent) -> None:
            raise GONE

        async def _keep_dead_letter(self, *args: Any, **kwargs: Any) -> None:
            raise GONE

    hanging = asyncio.Event()

    async def hang(event: DomainEvent) -> None:
        hanging.set()
        await asyncio.Event().wait()

    await append(store, *range(1, 21))
    well = recorder(name="well")
    broken = Gone(None, well.subscribed_to(), name="broken", retry_policy=well.retry_policy)
    stuck = runner_of(recorder(hang, name="stuck"))
    async with runner_of(broken) as failing, runner_of(well, batch_size=2) as runner:
        await stuck.start()
        await hanging.wait()

        await runner.wait_for(await append(store, 21), timeout=20)
        await until(lambda: failing.failure is GONE)
        await stuck.stop(timeout=0)

    assert well.numbers == list(range(1, 22))


def errors(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """Return what is on record as an error."""
    return [each for each in caplog.records if each.levelname == "ERROR"]


def seconds_told(caplog: pytest.LogCaptureFixture) -> list[float]:
    """Return how long the runner said that it waits, each time."""
    return [each.args[1] for each in caplog.records if "begins again" in each.msg and each.args]  # type: ignore[index]
