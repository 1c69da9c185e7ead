"""Checkpoints in SQLite against those in memory: whatever is done to both, they answer alike."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any
from uuid import UUID

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from eventsource.exceptions import CheckpointConflictError
from eventsource.projections.checkpoints.in_memory import InMemoryCheckpointRepository
from eventsource.projections.checkpoints.interface import CheckpointRepository
from eventsource.projections.checkpoints.sqlite import SQLiteCheckpointRepository
from eventsource.projections.checkpoints.values import CheckpointData

NAMES = ["visits", "open doors"]

names, owners = st.sampled_from(NAMES), st.sampled_from(["ann", "bob"])
positions = st.integers(0, 8)
event_ids, event_types = st.integers(1, 9).map(lambda number: UUID(int=number)), st.sampled_from(["Opened", ""])

Use = Callable[[CheckpointRepository], Awaitable[Any]]


class Repositories(RuleBasedStateMachine):
    """Both repositories and one event loop; no lease runs out."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.model = InMemoryCheckpointRepository()
        self.checkpoints = SQLiteCheckpointRepository(":memory:")

    @initialize()
    def begin(self) -> None:
        self.loop.run_until_complete(self.checkpoints.initialize())

    def teardown(self) -> None:
        self.loop.run_until_complete(self.checkpoints.close())
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()

    @rule(projection_name=names, event_id=event_ids, event_type=event_types)
    def update(self, **arguments: Any) -> None:
        self.agree(lambda checkpoints: checkpoints.update_checkpoint(**arguments))

    @rule(
        subscription_id=names,
        position=positions,
        event_id=st.none() | event_ids,
        event_type=st.none() | event_types,
        expected=st.none() | positions,
        owner=st.none() | owners,
        events=st.integers(0, 3),
    )
    def save(self, **arguments: Any) -> None:
        self.agree(lambda checkpoints: checkpoints.save_position(**arguments))

    @rule(name=names, steps=st.integers(0, 3), owner=st.none() | owners)
    def move_on(self, name: str, steps: int, owner: str | None) -> None:
        """From where it is, as a runner does."""
        before = self.loop.run_until_complete(self.model.get_position(name))
        position = (before or 0) + steps
        self.agree(
            lambda checkpoints: checkpoints.save_position(name, position, None, None, expected=before, owner=owner)
        )

    @rule(projection_name=names, replay_until=st.none() | positions)
    def reset(self, **arguments: Any) -> None:
        self.agree(lambda checkpoints: checkpoints.reset_checkpoint(**arguments))

    @rule(name=names, owner=owners)
    def acquire(self, name: str, owner: str) -> None:
        self.agree(lambda checkpoints: checkpoints.acquire_lease(name, owner, 3600))

    @rule(projection_name=names, owner=owners)
    def release(self, **arguments: Any) -> None:
        self.agree(lambda checkpoints: checkpoints.release_lease(**arguments))

    @invariant()
    def they_stand_at_the_same_places(self) -> None:
        if not self.checkpoints.is_connected:
            return
        self.agree(lambda checkpoints: checkpoints.get_all_checkpoints())
        for name in NAMES:
            self.agree(lambda checkpoints, name=name: checkpoints.get_checkpoint_data(name))

    def agree(self, use: Use) -> None:
        expected, actual = (self.loop.run_until_complete(outcome(use, each)) for each in (self.model, self.checkpoints))
        assert actual == expected


async def outcome(use: Use, checkpoints: CheckpointRepository) -> object:
    """Return what *checkpoints* answers, but for the time; of an error its class and its text."""
    try:
        answer = await use(checkpoints)
    except CheckpointConflictError as error:
        return type(error), str(error)
    return [facts_of(data) for data in answer] if isinstance(answer, list) else facts_of(answer)


def facts_of(data: CheckpointData | None) -> object:
    return data and (replace(data, last_processed_at=None), data.last_processed_at is None)


TestSQLiteAgainstMemory = Repositories.TestCase
TestSQLiteAgainstMemory.settings = settings(
    max_examples=40, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
