"""Names that are imported when they are first asked for, so that no driver is loaded before."""

from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import Any


def lazy_names(package: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """Return a module's ``__getattr__`` that finds each name in the module that is its home."""

    def resolve(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(homes[name]), name)

    return resolve


def is_installed(module: str) -> bool:
    """Tell whether *module* could be imported, without doing so."""
    return find_spec(module) is not None
