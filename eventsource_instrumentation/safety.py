"""Other people's telemetry code may fail: the application must not notice."""

import logging
from collections.abc import Callable
from typing import TypeVar

logger = logging.getLogger(__name__)

Result = TypeVar("Result")


class Safety:
    """Runs hooks, samplers, processors and propagators so that none of their errors reaches the application."""

    def __init__(self) -> None:
        self._level = logging.WARNING

    def run(self, step: Callable[[], Result]) -> Result | None:
        """Return what *step* returns; None if it raises, of which only the first time is a warning."""
        try:
            return step()
        except Exception:  # whatever it is, it is no business of the application
            logger.log(self._level, "Telemetry of an operation was lost; more is reported at DEBUG", exc_info=True)
            self._level = logging.DEBUG
            return None
