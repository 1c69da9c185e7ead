"""Declarative projections: handlers, names, and events that nobody handles."""

import logging
from typing import Any
from uuid import uuid4

import pytest

from eventsource.bus.memory import InMemoryEventBus
from eventsource.events.base import DomainEvent
from eventsource.exceptions import UnhandledEventError
from eventsource.handlers import handles
from eventsource.projections.base import DeclarativeProjection, Projection
from eventsource.projections.checkpoints.in_memory import InMemoryCheckpointRepository
from eventsource.projections.dead_letters.in_memory import InMemoryDLQRepository
from eventsource.retry import NoRetryPolicy, RetryConfig


class Paid(DomainEvent):
    aggregate_type: str = "Account"
    amount: int = 1


class Refunded(DomainEvent):
    aggregate_type: str = "Account"


class Totals(DeclarativeProjection):
    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.total = 0

    @handles(Paid)
    async def on_paid(self, event: Paid) -> None:
        self.total += event.amount

    async def _truncate_read_models(self) -> None:
        self.total = 0


async def test_an_event_reaches_its_handler() -> None:
    """The read model is up to date when handle returns."""
    totals = Totals()

    await totals.handle(Paid(aggregate_id=uuid4(), amount=7))

    assert totals.total == 7


async def test_what_a_handler_raises_reaches_the_caller() -> None:
    """Whoever hands out events decides what a failure means."""

    class Failing(DeclarativeProjection):
        @handles(Paid)
        async def on_paid(self, event: Paid) -> None:
            raise KeyError("account")

    with pytest.raises(KeyError, match="account"):
        await Failing(retry_policy=NoRetryPolicy()).handle(Paid(aggregate_id=uuid4()))


def test_it_subscribes_to_what_it_handles() -> None:
    """Nothing has to be said twice."""
    assert Totals().subscribed_to() == [Paid]


async def test_a_bus_delivers_to_it() -> None:
    """A projection is a subscriber as it is."""
    totals, bus = Totals(), InMemoryEventBus()
    bus.subscribe_all(totals)

    await bus.publish([Paid(aggregate_id=uuid4(), amount=2), Refunded(aggregate_id=uuid4())])

    assert totals.total == 2


async def test_resetting_empties_the_read_model() -> None:
    """It can be made again from the first event on."""
    totals = Totals()
    await totals.handle(Paid(aggregate_id=uuid4()))

    await totals.reset()

    assert totals.total == 0


async def test_a_projection_without_a_read_model_can_be_reset(caplog: pytest.LogCaptureFixture) -> None:
    """There is nothing to empty; the reset is on record all the same."""

    class Mailer(DeclarativeProjection):
        pass

    await Mailer().reset()

    assert [each.getMessage() for each in caplog.records] == ["Resetting projection Mailer"]


@pytest.mark.parametrize(("options", "name"), [({}, "Totals"), ({"name": "totals-v2"}, "totals-v2")])
def test_it_is_called_what_it_is_told(options: dict[str, str], name: str) -> None:
    """Its class name will do if nothing is said."""
    assert Totals(**options).projection_name == name


@pytest.mark.parametrize(("options", "wanted"), [({}, False), ({"enable_tracing": True}, True)])
def test_spans_are_made_on_request_only(options: dict[str, bool], wanted: bool) -> None:
    """Projections see every event."""
    assert Totals(**options).enable_tracing is wanted


def test_a_handler_that_is_not_async_is_refused() -> None:
    """At construction, not at the first event."""

    class Blocking(DeclarativeProjection):
        @handles(Paid)
        def on_paid(self, event: Paid) -> None: ...

    with pytest.raises(ValueError, match="must be async"):
        Blocking()


def test_a_handler_of_the_base_class_is_refused() -> None:
    """Events are matched by their very class, and none has that one; the message says what to do instead."""

    class Everything(DeclarativeProjection):
        @handles(DomainEvent)
        async def on_event(self, event: DomainEvent) -> None: ...

    with pytest.raises(ValueError, match=r"Everything handles DomainEvent, .* derive from CheckpointTrackingProjec"):
        Everything()


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("checkpoint_repo", InMemoryDLQRepository()),
        ("dlq_repo", InMemoryCheckpointRepository()),
        ("retry_policy", RetryConfig()),
        ("name", 7),
    ],
)
def test_an_argument_of_another_type_is_refused(argument: str, value: object) -> None:
    """At construction, not when the first event fails."""
    with pytest.raises(TypeError, match=f"{argument} must be"):
        Totals(**{argument: value})


def test_an_empty_name_is_refused() -> None:
    """It would be that of a checkpoint."""
    with pytest.raises(ValueError, match="name must not be empty"):
        Totals(name="")


async def test_a_handler_with_two_parameters_is_given_no_context() -> None:
    """There is no connection here, but the handler may be one that was written for one."""

    class Contexts(DeclarativeProjection):
        @handles(Paid)
        async def on_paid(self, context: object, event: Paid) -> None:
            self.given = context, event

    contexts, event = Contexts(), Paid(aggregate_id=uuid4())

    await contexts.handle(event)

    assert contexts.given == (None, event)


class TestUnhandledEvents:
    async def test_they_are_ignored_by_default(self) -> None:
        """Streams hold more than one projection needs."""
        totals = Totals()

        await totals.handle(Refunded(aggregate_id=uuid4()))

        assert totals.total == 0

    async def test_they_may_be_warned_of(self, caplog: pytest.LogCaptureFixture) -> None:
        """The class says so."""

        class Careful(Totals):
            unregistered_event_handling = "warn"

        with caplog.at_level(logging.WARNING, "eventsource.handlers.registry"):
            await Careful().handle(Refunded(aggregate_id=uuid4()))

        assert caplog.messages == ["No handler registered for event type Refunded in Careful. Available handlers: Paid"]

    @pytest.mark.parametrize("mode", ["ignore", "warn"])
    async def test_they_count_as_handled(self, mode: str) -> None:
        """The checkpoint moves on, if they are no errors."""
        checkpoints, event = InMemoryCheckpointRepository(), Refunded(aggregate_id=uuid4())
        lenient = type("Lenient", (Totals,), {"unregistered_event_handling": mode})

        await lenient(checkpoint_repo=checkpoints).handle(event)

        assert await checkpoints.get_checkpoint("Lenient") == event.event_id

    async def test_they_may_be_errors(self) -> None:
        """For projections that must miss nothing."""

        class Strict(Totals):
            unregistered_event_handling = "error"

        strict, event = Strict(retry_policy=NoRetryPolicy()), Refunded(aggregate_id=uuid4())

        with pytest.raises(UnhandledEventError, match="Strict has no handler for Refunded"):
            await strict.handle(event)

        assert [entry.event_id for entry in await strict.dead_letters.get_failed_events("Strict")] == [event.event_id]

    def test_an_unknown_mode_is_refused(self) -> None:
        """At construction."""

        class Mistyped(Totals):
            unregistered_event_handling = "warning"  # type: ignore[assignment]

        with pytest.raises(ValueError, match=r"Mistyped\.unregistered_event_handling is 'warning'"):
            Mistyped()


def test_the_bare_interface_demands_its_two_methods() -> None:
    """Handle and reset are all that a projection must have."""
    assert Projection.__abstractmethods__ == {"handle", "reset"}
