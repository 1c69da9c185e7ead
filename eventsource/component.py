"""The one door through which every operation of every component passes."""

import inspect
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, TypeVar, final

Operation = TypeVar("Operation")
Result = TypeVar("Result")
Method = TypeVar("Method", bound=Callable[..., Any])


def implemented_by(hook: str) -> Callable[[Method], Method]:
    """Name the *hook* that a backend implements instead of the final method below."""

    def mark(method: Method) -> Method:
        vars(method)["__hook__"] = hook
        return method

    return mark


class Component:
    """
    What stores, snapshot stores, repositories, buses and projections have in common.

    ``enable_tracing`` and ``enable_metrics`` are kept here and read by whoever observes the component.
    """

    enable_tracing: bool = True
    enable_metrics: bool = True

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for base, name, method in _final_methods(cls):
            if inspect.unwrap(inspect.getattr_static(cls, name)) is not inspect.unwrap(method):
                raise TypeError(_overridden(cls, base, name, getattr(method, "__hook__", None)))

    @final
    async def _perform(self, hook: Callable[[Operation], Awaitable[Result]], operation: Operation) -> Result:
        """Every operation passes here, as a value, on its way to the *hook* that does it."""
        return await hook(operation)


def _final_methods(cls: type) -> Iterator[tuple[type, str, Any]]:
    for base in cls.__mro__[1:]:
        for name, member in vars(base).items():
            if getattr(member, "__final__", False):
                yield base, name, member


def _overridden(cls: type, base: type, name: str, hook: str | None) -> str:
    advice = f"implement the hook {hook} instead" if hook else "leave it as it is"
    return f"{cls.__qualname__} overrides {base.__qualname__}.{name}, which is final; {advice}"
