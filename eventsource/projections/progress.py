"""How far a replay has come, and a bar on the terminal that shows it."""

import importlib.util
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class ReplayProgress:
    """A projection is made anew: it stands at *position*, and is done at *target*."""

    projection_name: str
    position: int
    target: int

    @property
    def fraction(self) -> float:
        """How much of it is done, from 0 to 1."""
        return 1.0 if self.target <= self.position else self.position / self.target


OnProgress: TypeAlias = Callable[[ReplayProgress], None]


@contextmanager
def progress_bar() -> Iterator[OnProgress]:
    """
    Show a bar on standard error inside the block, and give what `ProjectionRunner.rebuild` takes as *on_progress*.

    Where standard error is no terminal, or rich (the extra ``progress``) is not installed, nothing is shown.
    """
    if not sys.stderr.isatty() or importlib.util.find_spec("rich") is None:
        yield _ignore
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True)) as bar:
        tasks = {}

        def show(progress: ReplayProgress) -> None:
            name = progress.projection_name
            if name not in tasks:
                tasks[name] = bar.add_task(name, total=1.0)
            bar.update(tasks[name], completed=progress.fraction)

        yield show


def _ignore(progress: ReplayProgress) -> None:
    """Show nothing."""
