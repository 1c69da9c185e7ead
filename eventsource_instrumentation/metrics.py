"""The instruments of the table's metrics."""

from collections.abc import Iterable, Mapping

from opentelemetry.metrics import Counter, Histogram, Meter
from opentelemetry.util.types import AttributeValue

from eventsource_instrumentation.observation import LazyAttributes, Observation
from eventsource_instrumentation.rows import Measurement, Metric


class Instruments:
    """The instruments of one meter; each is made when the table's rows are known, once."""

    def __init__(self, meter: Meter, measurements: Iterable[Measurement]) -> None:
        metrics = {measurement.metric.name: measurement.metric for measurement in measurements}
        self._instruments = {name: _instrument(meter, metric) for name, metric in metrics.items()}

    def record(self, measurement: Measurement, observation: Observation) -> None:
        """Record what *observation* adds to the metric of *measurement*."""
        amount = measurement.amount(observation)
        if amount is None:
            return
        attributes = LazyAttributes(measurement.attributes, observation)
        name = measurement.metric.name
        if measurement.split is None:
            self._add(name, amount, attributes)
            return
        attribute, amounts = measurement.split
        for value, count in amounts(observation).items():
            self._add(name, count, {**attributes, attribute: value})

    def _add(self, name: str, amount: float, attributes: Mapping[str, AttributeValue]) -> None:
        instrument = self._instruments[name]
        if isinstance(instrument, Histogram):
            instrument.record(amount, attributes)
        else:
            instrument.add(amount, attributes)


def _instrument(meter: Meter, metric: Metric) -> Counter | Histogram:
    if metric.kind == "counter":
        return meter.create_counter(metric.name, metric.unit, metric.description)
    return meter.create_histogram(
        metric.name, metric.unit, metric.description, explicit_bucket_boundaries_advisory=metric.boundaries
    )
