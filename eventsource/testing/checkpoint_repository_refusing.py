# ruff: noqa: S101 - contracts assert, as tests do
"""What a checkpoint repository refuses."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias
from uuid import uuid4

import pytest

from eventsource.projections.checkpoints.interface import CheckpointRepository
from eventsource.testing.checkpoint_repository_subject import VISITS, CheckpointRepositorySubject
from eventsource.testing.events import Opened

Use: TypeAlias = Callable[[Any], Awaitable[object]]
NamedUse: TypeAlias = Callable[[Any, Any], Awaitable[object]]

HOOKS = {
    "get_checkpoint": "_get_checkpoint",
    "get_position": "_get_checkpoint",
    "get_checkpoint_data": "_get_checkpoint",
    "get_lag_metrics": "_get_checkpoint",
    "get_all_checkpoints": "_get_all_checkpoints",
    "update_checkpoint": "_save_checkpoint",
    "save_position": "_save_checkpoint",
    "reset_checkpoint": "_reset_checkpoint",
    "acquire_lease": "_acquire_lease",
    "release_lease": "_release_lease",
}
NAMES: dict[str, tuple[str, NamedUse]] = {
    "get_checkpoint": ("projection_name", lambda checkpoints, name: checkpoints.get_checkpoint(name)),
    "get_position": ("projection_name", lambda checkpoints, name: checkpoints.get_position(name)),
    "get_checkpoint_data": ("projection_name", lambda checkpoints, name: checkpoints.get_checkpoint_data(name)),
    "get_lag_metrics": ("projection_name", lambda checkpoints, name: checkpoints.get_lag_metrics(name)),
    "update_checkpoint": (
        "projection_name",
        lambda checkpoints, name: checkpoints.update_checkpoint(name, uuid4(), "Opened"),
    ),
    "save_position": ("subscription_id", lambda checkpoints, name: checkpoints.save_position(name, 9, None, None)),
    "reset_checkpoint": ("projection_name", lambda checkpoints, name: checkpoints.reset_checkpoint(name)),
    "acquire_lease": ("projection_name", lambda checkpoints, name: checkpoints.acquire_lease(name, "ann", 60)),
    "release_lease": ("projection_name", lambda checkpoints, name: checkpoints.release_lease(name, "ann")),
    "acquire_lease for": ("owner", lambda checkpoints, name: checkpoints.acquire_lease(VISITS, name, 60)),
    "release_lease of": ("owner", lambda checkpoints, name: checkpoints.release_lease(VISITS, name)),
}
WRONG_TYPES: dict[str, tuple[str, Use]] = {
    "update with text for an id": (
        "event_id",
        lambda checkpoints: checkpoints.update_checkpoint(VISITS, str(uuid4()), "Opened"),
    ),
    "update without an id": ("event_id", lambda checkpoints: checkpoints.update_checkpoint(VISITS, None, "Opened")),
    "update with a class": (
        "event_type",
        lambda checkpoints: checkpoints.update_checkpoint(VISITS, uuid4(), Opened),
    ),
    "save text": ("position", lambda checkpoints: checkpoints.save_position(VISITS, "9", None, None)),
    "save nothing": ("position", lambda checkpoints: checkpoints.save_position(VISITS, None, None, None)),
    "save text for an id": (
        "event_id",
        lambda checkpoints: checkpoints.save_position(VISITS, 9, "the first", "Opened"),
    ),
    "save a class": ("event_type", lambda checkpoints: checkpoints.save_position(VISITS, 9, uuid4(), Opened)),
    "expect text": ("expected", lambda checkpoints: checkpoints.save_position(VISITS, 9, None, None, expected="5")),
    "name a number": ("owner", lambda checkpoints: checkpoints.save_position(VISITS, 9, None, None, owner=7)),
    "count text": ("events", lambda checkpoints: checkpoints.save_position(VISITS, 9, None, None, events="1")),
    "count nothing": ("events", lambda checkpoints: checkpoints.save_position(VISITS, 9, None, None, events=None)),
    "replay until text": (
        "replay_until",
        lambda checkpoints: checkpoints.reset_checkpoint(VISITS, replay_until="9"),
    ),
}


class RefusingContract(CheckpointRepositorySubject):
    """What makes no sense is refused before anything is changed."""

    @pytest.mark.parametrize(("argument", "use"), NAMES.values(), ids=NAMES)
    async def test_an_empty_name_is_refused(
        self, checkpoints: CheckpointRepository, argument: str, use: NamedUse
    ) -> None:
        """Neither a projection nor an owner is called nothing."""
        await begin(checkpoints)

        with pytest.raises(ValueError, match=f"{argument} must not be empty"):
            await use(checkpoints, "")

        assert await is_untouched(checkpoints)

    @pytest.mark.parametrize(("argument", "use"), NAMES.values(), ids=NAMES)
    async def test_a_name_with_the_character_zero_is_refused(
        self, checkpoints: CheckpointRepository, argument: str, use: NamedUse
    ) -> None:
        """Some databases cannot store it."""
        await begin(checkpoints)

        with pytest.raises(ValueError, match=rf"{argument} must not have the character U\+0000"):
            await use(checkpoints, "a\0b")

        assert await is_untouched(checkpoints)

    @pytest.mark.parametrize(("argument", "use"), NAMES.values(), ids=NAMES)
    async def test_a_name_that_is_no_text_is_refused(
        self, checkpoints: CheckpointRepository, argument: str, use: NamedUse
    ) -> None:
        """The error names the argument; a projection is named, not given."""
        await begin(checkpoints)

        for name in (None, Opened, VISITS.encode()):
            with pytest.raises(TypeError, match=f"{argument} must be of type str"):
                await use(checkpoints, name)

        assert await is_untouched(checkpoints)

    @pytest.mark.parametrize(("argument", "use"), WRONG_TYPES.values(), ids=WRONG_TYPES)
    async def test_arguments_of_another_type_are_refused(
        self, checkpoints: CheckpointRepository, argument: str, use: Use
    ) -> None:
        """The error names the argument."""
        await begin(checkpoints)

        with pytest.raises(TypeError, match=f"{argument} must be "):
            await use(checkpoints)

        assert await is_untouched(checkpoints)

    async def test_a_negative_position_is_refused(self, checkpoints: CheckpointRepository) -> None:
        """Positions begin at 0, where nothing was handled."""
        await begin(checkpoints)

        with pytest.raises(ValueError, match="position must be 0 or more, not -1"):
            await checkpoints.save_position("unknown", -1, None, None)

        assert await is_untouched(checkpoints)

    @pytest.mark.parametrize("seconds", [0, -1, -0.5, float("nan")])
    async def test_a_lease_for_no_time_is_refused(self, checkpoints: CheckpointRepository, seconds: float) -> None:
        """It would be over before it began."""
        await begin(checkpoints)

        with pytest.raises(ValueError, match="more than 0 seconds"):
            await checkpoints.acquire_lease(VISITS, "ann", seconds)

        assert await is_untouched(checkpoints)

    @pytest.mark.parametrize(("method", "hook"), HOOKS.items())
    async def test_overriding_a_final_method_names_the_hook(
        self, checkpoints: CheckpointRepository, method: str, hook: str
    ) -> None:
        """Who overrides a public method learns at once what to implement instead."""
        with pytest.raises(TypeError, match=f"hook {hook} instead"):
            type("Overriding", (type(checkpoints),), {method: lambda self: None})


async def begin(checkpoints: CheckpointRepository) -> None:
    """Save a checkpoint, which a test may not change."""
    await checkpoints.save_position(VISITS, 5, None, None)


async def is_untouched(checkpoints: CheckpointRepository) -> bool:
    """Tell whether there is that checkpoint alone, where it was, and no lease."""
    positions = [(data.projection_name, data.global_position) for data in await checkpoints.get_all_checkpoints()]
    data = await checkpoints.acquire_lease(VISITS, "somebody else", 60)
    return positions == [(VISITS, 5)] and data is not None and (data.events_processed, data.replay_until) == (1, None)
