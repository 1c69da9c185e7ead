"""The reference of what is emitted, made of the table: ``python -m eventsource_instrumentation.reference``."""

import inspect
import re
import sys
from collections.abc import Iterable, Iterator
from typing import get_args

from opentelemetry.semconv.attributes.error_attributes import ERROR_TYPE

from eventsource.aggregates.loaded import SnapshotOutcome
from eventsource.observability import attributes as constants
from eventsource_instrumentation.config import Config
from eventsource_instrumentation.operations import COMPONENTS, TABLE, UNOBSERVED
from eventsource_instrumentation.rows import Measurement, Row

_PAGE = """\
# Telemetry: spans, metrics and options

This page is made of `eventsource_instrumentation/operations.py` by `python -m eventsource_instrumentation.reference`;
a test fails when the two differ.

## Spans

Attributes at the start are there when a sampler looks at them; those at the end are added after success only. An
attribute that has no value is left out. A span that fails has the status ERROR, its message, and `{error_type}`, the
name of the exception's class; the exception is recorded as an event, a validation error without the input that it
quotes. A cancelled operation has `{error_type}`, and neither status nor event.

A component with `enable_tracing=False` has no spans. That is the default of projections and of nothing else. "Only
inside another" means that there is a span only inside one that is recorded, so that polling alone emits nothing.

{spans}

These operations emit nothing: {unobserved}.

### Context in headers

{headers}

### Names of attributes

Constants are found in `eventsource.observability`. Names without one are those of the OpenTelemetry semantic
conventions, and two of metrics alone: `source` is `snapshot` or `stream`; `outcome` is one of {outcomes}.

{attributes}

## Metrics

Where `{error_type}` is among the attributes, failed operations are measured too. A component with
`enable_metrics = False`, an attribute of its class or of the object, has no metrics. Histograms in seconds have these
bucket boundaries: {boundaries}.

{metrics}

## Options

Keywords of `EventsourceInstrumentor().instrument(...)`. One that is not given is read from its environment variable;
a value there that makes no sense is logged and ignored.

{options}
"""
_HEADERS = {
    "onward": "are handed on as they are",
    "stored": "get `traceparent` and `tracestate` of this span, and are stored beside the events",
    "message": "get what the global propagator injects, and travel with the messages",
}


def render() -> str:
    """Return the reference page, as Markdown."""
    return _PAGE.format(
        error_type=ERROR_TYPE,
        spans=_table("component | operation | span | kind | at start | at end | only inside another", _spans()),
        outcomes=_codes(get_args(SnapshotOutcome)),
        unobserved=_codes(sorted(operation.__name__ for operation in UNOBSERVED)),
        headers=_table("span | what becomes of the headers of the call", _headers()),
        attributes=_table("attribute | constant", _attributes()),
        boundaries=", ".join(f"{boundary:g}" for boundary in _boundaries()),
        metrics=_table("metric | kind | unit | description | attributes | recorded with", _metrics()),
        options=_table("keyword | environment variable | meaning", _options()),
    )


def _spans() -> Iterator[Iterable[str]]:
    kinds = {port: kind for kind, port in COMPONENTS.items()}
    for row in TABLE.values():
        yield (
            f"`{kinds[row.owner]}`",
            f"`{row.operation.__name__}`",
            _codes(row.spans),
            row.kind.name,
            _codes(row.at_start),
            _codes(row.at_end),
            "yes" if row.inner else "",
        )


def _headers() -> Iterator[Iterable[str]]:
    for row in TABLE.values():
        if row.headers:
            yield _codes(row.spans), _HEADERS[row.headers]


def _attributes() -> Iterator[Iterable[str]]:
    names = {getattr(constants, constant): constant for constant in constants.__all__}
    emitted = {name for row in TABLE.values() for name in (*row.at_start, *row.at_end)}
    emitted |= {name for _, measurement in _measurements() for name in measurement.attribute_names}
    for name in sorted(emitted):
        yield f"`{name}`", f"`{names[name]}`" if name in names else ""


def _metrics() -> Iterator[Iterable[str]]:
    for metric in dict.fromkeys(measurement.metric for _, measurement in _measurements()):
        found = [(row, each) for row, each in _measurements() if each.metric == metric]
        attributes = dict.fromkeys(name for _, each in found for name in each.attribute_names)
        spans = dict.fromkeys(name for row, _ in found for name in row.spans)
        yield f"`{metric.name}`", metric.kind, f"`{metric.unit}`", metric.description, _codes(attributes), _codes(spans)


def _measurements() -> Iterator[tuple[Row, Measurement]]:
    return ((row, measurement) for row in TABLE.values() for measurement in row.measurements)


def _boundaries() -> tuple[float, ...]:
    seconds = {each.metric.boundaries for _, each in _measurements() if each.metric.unit == "s"}
    (boundaries,) = seconds
    return boundaries or ()


def _options() -> Iterator[Iterable[str]]:
    """Yield what the docstring of `Config` says of each option, the environment variable apart."""
    _, _, text = (inspect.getdoc(Config) or "").partition("Args:\n")
    described = dict(re.findall(r"^    (\w+): (.+(?:\n {8}.+)*)", text, re.MULTILINE))
    for name in Config.__dataclass_fields__:
        meaning, _, variable = " ".join(described[name].split()).replace("``", "`").partition("; `OTEL")
        yield f"`{name}`", f"`OTEL{variable}".rstrip(".") if variable else "", meaning.rstrip(".")


def _table(head: str, rows: Iterable[Iterable[str]]) -> str:
    columns = head.count("|") + 1
    lines = [head, "|".join(["---"] * columns), *(" | ".join(row) for row in rows)]
    return "\n".join(f"| {line} |" if "---" not in line else f"|{line}|" for line in lines)


def _codes(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


if __name__ == "__main__":
    sys.stdout.write(render())
