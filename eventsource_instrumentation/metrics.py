"""The instruments of the table's metrics."""

from collections.abc import Iterable, Mapping

from opentelemetry.metrics import Counter, Histogram, Meter, NoOpCounter, NoOpHistogram
from opentelemetry.util.types import AttributeValue

from eventsource_instrumentation.observation import Observation, evaluate
from eventsource_instrumentation.rows import Measurement, Metric


class Instruments:
    """The instruments of one meter; each is made when the table's rows are known, once."""

    def __init__(self, meter: Meter, measurements: Iterable[Measurement]) -> None:
        metrics = {measurement.metric.name: measurement.metric for measurement in measurements}
        self._instruments = {name: _instrument(meter, metric) for name, metric in metrics.items()}

    def record(self, measurement: Measurement, observation: Observation) -> None:
        """Record what *observation* adds to the metric of *measurement*; nothing is worked out if nobody measures."""
        instrument = self._instruments[measurement.metric.name]
        if _is_idle(instrument) or measurement.system not in (None, getattr(observation.component, "system", None)):
            return
        for each in (observation,) if measurement.each is None else measurement.each(observation):
            self._record(instrument, measurement, each)

    def _record(self, instrument: Counter | Histogram, measurement: Measurement, observation: Observation) -> None:
        amount = measurement.amount(observation)
        if amount is None:
            return
        attributes = evaluate(measurement.attributes, observation)
        if measurement.split is None:
            _add(instrument, amount, attributes)
            return
        attribute, amounts = measurement.split
        for value, count in amounts(observation).items():
            _add(instrument, count, {**attributes, attribute: value})


def _instrument(meter: Meter, metric: Metric) -> Counter | Histogram:
    if metric.kind == "counter":
        return meter.create_counter(metric.name, metric.unit, metric.description)
    return meter.create_histogram(
        metric.name, metric.unit, metric.description, explicit_bucket_boundaries_advisory=metric.boundaries
    )


def _is_idle(instrument: Counter | Histogram) -> bool:
    # What the API hands out before a provider is set has this attribute, and None there until one is.
    real = getattr(instrument, "_real_instrument", instrument)
    return real is None or isinstance(real, NoOpCounter | NoOpHistogram)


def _add(instrument: Counter | Histogram, amount: float, attributes: Mapping[str, AttributeValue]) -> None:
    if isinstance(instrument, Histogram):
        instrument.record(amount, attributes)
    else:
        instrument.add(amount, attributes)
