"""Publishing on the bus within the process."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeAlias
from uuid import uuid4

from benchmarks.measuring import Figure, compared, stopwatch
from benchmarks.sample import Deposited, deposits
from eventsource import DomainEvent, InMemoryEventBus

EVENTS = 2000

Handlers: TypeAlias = list[Callable[[DomainEvent], Awaitable[None]]]


async def run() -> list[Figure]:
    """Compare with calling the handlers by hand, one after the other and all at once."""
    one, ten = _handlers(1), _handlers(10)
    figures = await compared({"1 handler": partial(_publish, one), "call": partial(_call, one)}, "call")
    for peer, way in {"calls in turn": _call, "asyncio.gather": _gather}.items():
        figures += await compared({"10 handlers": partial(_publish, ten), peer: partial(way, ten)}, peer)
    return figures


async def _publish(handlers: Handlers) -> float:
    events = deposits(uuid4(), EVENTS)
    async with InMemoryEventBus() as bus:
        for handler in handlers:
            bus.subscribe(Deposited, handler)
        with stopwatch() as watch:
            for event in events:
                await bus.publish([event])
    return watch.seconds / EVENTS


async def _call(handlers: Handlers) -> float:
    events = deposits(uuid4(), EVENTS)
    with stopwatch() as watch:
        for event in events:
            for handler in handlers:
                await handler(event)
    return watch.seconds / EVENTS


async def _gather(handlers: Handlers) -> float:
    events = deposits(uuid4(), EVENTS)
    with stopwatch() as watch:
        for event in events:
            await asyncio.gather(*(handler(event) for handler in handlers))
    return watch.seconds / EVENTS


def _handlers(count: int) -> Handlers:
    def handler() -> Callable[[DomainEvent], Awaitable[None]]:
        async def handle(event: DomainEvent) -> None:
            pass

        return handle

    return [handler() for _ in range(count)]
