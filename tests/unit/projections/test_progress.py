"""Showing how far a replay has come."""

import importlib.util
import io
from collections.abc import Callable
from contextlib import redirect_stderr
from typing import Any

import pytest

from eventsource.projections.progress import ReplayProgress, progress_bar

CURSOR_HIDDEN, CURSOR_SHOWN = "\x1b[?25l", "\x1b[?25h"


class Terminal(io.StringIO):
    """Something to write to that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _plain_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that moves its cursor and has room for a line."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")


@pytest.mark.parametrize(
    ("position", "target", "fraction"), [(0, 10, 0.0), (5, 10, 0.5), (10, 10, 1.0), (12, 10, 1.0), (0, 0, 1.0)]
)
def test_a_fraction_is_from_nothing_to_one(position: int, target: int, fraction: float) -> None:
    """An empty log is done, and so is who has come further."""
    assert ReplayProgress("totals", position, target).fraction == fraction


def test_without_a_terminal_nothing_is_shown() -> None:
    """A log file needs no bar."""
    with redirect_stderr(io.StringIO()) as file, progress_bar() as show:
        show(ReplayProgress("totals", 5, 10))

    assert file.getvalue() == ""


def test_without_rich_nothing_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is an extra."""
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "rich" else find_spec(name))

    with redirect_stderr(Terminal()) as terminal, progress_bar() as show:
        show(ReplayProgress("totals", 5, 10))

    assert terminal.getvalue() == ""


class TestOnATerminal:
    @pytest.fixture(autouse=True)
    def _with_rich(self) -> None:
        pytest.importorskip("rich", reason="the bar is rich's")

    def test_there_is_a_bar_of_each_projection(self) -> None:
        """Under its name, as far as it has come."""
        with redirect_stderr(Terminal()) as terminal, progress_bar() as show:
            for position in (0, 5, 10):
                show(ReplayProgress("totals", position, 10))
            show(ReplayProgress("openings", 5, 20))

        totals, openings = last_picture(terminal).split("openings")
        assert ("100%" in totals, "25%" in openings) == (True, True)

    def test_the_cursor_comes_back_after_an_error(self) -> None:
        """Whatever ends the block."""
        terminal = Terminal()

        def fail() -> None:
            with redirect_stderr(terminal), progress_bar() as show:
                show(ReplayProgress("totals", 5, 10))
                raise KeyError("mine")

        with pytest.raises(KeyError, match="mine"):
            fail()
        assert terminal.getvalue().rindex(CURSOR_SHOWN) > terminal.getvalue().rindex(CURSOR_HIDDEN)

    def test_a_replay_of_nothing_is_done(self) -> None:
        """And nothing is divided by it."""
        with redirect_stderr(Terminal()) as terminal, progress_bar() as show:
            show(ReplayProgress("totals", 0, 0))

        assert "100%" in last_picture(terminal)

    async def test_a_rebuild_is_shown(
        self, store: Any, append: Callable[..., Any], recorder: Callable[..., Any], runner_of: Callable[..., Any]
    ) -> None:
        """It is what `rebuild` takes."""
        async with runner_of(recorder(name="totals")) as runner:
            await runner.wait_for(await append(store, 1, 2, 3), timeout=20)
            with redirect_stderr(Terminal()) as terminal, progress_bar() as show:
                await runner.rebuild(show)

        assert "100%" in last_picture(terminal)


def last_picture(terminal: Terminal) -> str:
    """Return what is to be seen at last."""
    return terminal.getvalue()[terminal.getvalue().rindex("totals") :]
