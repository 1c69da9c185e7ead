"""Functions of the application's that are called around an operation."""

import inspect
import logging
import os
import pkgutil
from collections.abc import Callable
from typing import Any, TypeAlias

logger = logging.getLogger(__name__)

Hook: TypeAlias = Callable[..., None]


def hook_from_environment(variable: str) -> Hook | None:
    """
    Return the hook that *variable* names as ``package.module:function``, None if it is not set.

    The function is looked up when it is first called: under ``opentelemetry-instrument`` the application's own modules
    cannot be imported before that. A name that leads nowhere is ignored with a warning.
    """
    name = os.environ.get(variable)
    return _Named(variable, name) if name else None


def check_hook(hook: Hook | None) -> None:
    """
    Check that *hook* can be called where nobody awaits it.

    Raises:
        TypeError: If it is asynchronous or not callable.
    """
    if hook is not None and (not callable(hook) or _is_async(hook)):
        raise TypeError(f"a hook must be a function that is not async, not {hook!r}")


def _is_async(hook: Hook) -> bool:
    return inspect.iscoroutinefunction(hook) or inspect.iscoroutinefunction(type(hook).__call__)


class _Named:
    def __init__(self, variable: str, name: str) -> None:
        self._variable = variable
        self._name = name
        self._hook: Hook | None = None

    def __call__(self, *args: Any) -> None:
        if self._hook is None:
            self._hook = self._found()
        self._hook(*args)

    def _found(self) -> Hook:
        try:
            hook: Hook = pkgutil.resolve_name(self._name)
            check_hook(hook)
            return hook
        except Exception as error:  # importing runs other people's code; a bad setting must not break anything
            logger.warning("%s=%r is ignored: %s", self._variable, self._name, error)
            return _nothing


def _nothing(*args: Any) -> None:
    """Stand in for a hook that was not found."""
