"""Gauges: what is read from components each time that metrics are collected."""

from collections.abc import Iterable, Iterator
from functools import partial
from threading import Lock
from typing import Any
from weakref import WeakSet

from opentelemetry import metrics
from opentelemetry.metrics import CallbackOptions, Meter, MeterProvider, Observation
from opentelemetry.util.types import AttributeValue

from eventsource_instrumentation.rows import Gauge
from eventsource_instrumentation.safety import Safety

_watched: dict[str, WeakSet[Any]] = {}
"""The components that each gauge reports on, by its name."""
_changing = Lock()  # metrics may be collected in any thread


class _Switch:
    """
    Which gauges report, and to which provider.

    There is one for the process: an instrument keeps the callbacks that it was first created with, and can neither be
    created again with others nor be taken back.
    """

    names: frozenset[str] = frozenset()
    provider: MeterProvider | None = None

    def lets_report(self, name: str, to: MeterProvider | None) -> bool:
        return name in self.names and _resolved(to) is _resolved(self.provider)


_switch = _Switch()
_safely = Safety().run


def switch_on(gauges: Iterable[Gauge], meter: Meter, provider: MeterProvider | None) -> None:
    """Let *gauges* report to *meter*, which is of *provider* or of the global one."""
    gauges = tuple(gauges)
    for gauge in gauges:
        metric = gauge.metric
        create = (
            meter.create_observable_counter if metric.kind == "observable counter" else meter.create_observable_gauge
        )
        create(metric.name, [partial(_observe, gauge, provider)], metric.unit, metric.description)
    _switch.names, _switch.provider = frozenset(gauge.metric.name for gauge in gauges), provider


def switch_off() -> None:
    """Let no gauge report any more."""
    _switch.names, _switch.provider = frozenset(), None


def watch(gauges: Iterable[Gauge], component: Any) -> None:
    """Let *gauges* report on *component* for as long as it lives."""
    with _changing:
        for gauge in gauges:
            _watched.setdefault(gauge.metric.name, WeakSet()).add(component)


def _observe(gauge: Gauge, provider: MeterProvider | None, options: CallbackOptions) -> Iterator[Observation]:
    if not _switch.lets_report(gauge.metric.name, provider):
        return
    with _changing:
        components = tuple(_watched.get(gauge.metric.name, ()))
    for component in components:
        if component.enable_metrics and gauge.system in (None, getattr(component, "system", None)):
            for value, attributes in _safely(partial(_series, gauge, component)) or ():
                yield Observation(value, attributes)


def _series(gauge: Gauge, component: Any) -> list[tuple[float, dict[str, AttributeValue]]]:
    return list(gauge.series(component))


def _resolved(provider: MeterProvider | None) -> MeterProvider:
    return metrics.get_meter_provider() if provider is None else provider
