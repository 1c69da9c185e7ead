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
from eventsource_instrumentation.propagation import MOST_LINKS
from eventsource_instrumentation.rows import Metric, Row

_PAGE = """\
# Telemetry: spans, metrics and options

This page is made of `eventsource_instrumentation/operations.py` by `python -m eventsource_instrumentation.reference`;
a test fails when the two differ.

## Spans

Attributes at the start are there when a sampler looks at them; those at the end are added after success only. An
attribute that has no value is left out. A span that fails has the status ERROR, its message, and `{error_type}`, the
name of the exception's class; the exception is recorded as an event, a validation error without the input that it
quotes. A cancelled operation has `{error_type}`, and neither status nor event.

A component with `enable_tracing=False` has no spans. That is the default of projections, of the checkpoints and dead
letters that they keep in memory or in the file of their read model, and of nothing else. "Only inside another" means
that there is a span only inside one that is recorded, so that polling alone emits nothing.

{roots} has no parent, whatever is current: it begins a trace of its own. It has links to the
contexts that are stored beside its events: to those that are sampled, to each once, and to {most_links} at most.

{spans}

These operations emit nothing: {unobserved}.

### Context in headers

{headers}

Where nothing is current, the context in the headers is the parent. There is a link to it in a trace of its own instead
in {ageing} if the message, or the first of the events that are
published, is older than `parent_max_age`, and in {again} also if the message is delivered again,
as far as the broker tells, or was a dead letter in between; `consumer_context` chooses one of the two for all messages
that are delivered. Of a component without spans, nothing else is current than what is in the headers.

### Names of attributes

Constants are found in `eventsource.observability`. Names without one are those of the OpenTelemetry semantic
conventions, and those of metrics alone: `source` is `snapshot` or `stream`; `outcome` is one of {outcomes};
`event.type`, `handler.name` and `dlq.reason` are what users of the metrics of buses over Kafka know.

{attributes}

## Metrics

Where `{error_type}` is among the attributes, failed operations are measured too. A component with
`enable_metrics = False`, an attribute of its class or of the object, has no metrics. Histograms in seconds have these
bucket boundaries: {boundaries}.

An observable gauge or counter has a value for each component that lives and has something to tell when metrics are
collected; what it tells was looked up by the latest operation of the name that it is "recorded with". That of a bus is
performed about once a second while it is connected; one that is not connected has no values.

{systems}

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
        roots=_codes(name for row in TABLE.values() if row.root for name in row.spans),
        most_links=MOST_LINKS,
        ageing=" and ".join(f"`{name}`" for row in TABLE.values() if row.sent_at for name in row.spans),
        again=_codes(name for row in TABLE.values() if row.comes_again for name in row.spans),
        systems="\n".join(_of_one_system()),
        headers=_table("span | what becomes of the headers of the call", _headers()),
        attributes=_table("attribute | constant", _attributes()),
        boundaries=", ".join(f"{boundary:g}" for boundary in _boundaries()),
        metrics=_table("metric | kind | unit | description | attributes | recorded with", _metrics()),
        options=_table("keyword | environment variable | meaning", _options()),
    )


def _spans() -> Iterator[Iterable[str]]:
    kinds = {port: kind for kind, port in COMPONENTS.items()}
    for row in TABLE.values():
        if not row.spans:
            continue
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
    emitted |= {name for _, _, attributes in _measured() for name in attributes}
    for name in sorted(emitted):
        yield f"`{name}`", f"`{names[name]}`" if name in names else ""


def _metrics() -> Iterator[Iterable[str]]:
    for metric in dict.fromkeys(metric for _, metric, _ in _measured()):
        found = [(row, attributes) for row, each, attributes in _measured() if each == metric]
        attributes = dict.fromkeys(name for _, each in found for name in each)
        sources = dict.fromkeys(name for row, _ in found for name in row.spans or (row.operation.__name__,))
        kind, unit = metric.kind, f"`{metric.unit}`"
        yield f"`{metric.name}`", kind, unit, metric.description, _codes(attributes), _codes(sources)


def _of_one_system() -> Iterator[str]:
    names: dict[str, dict[str, None]] = {}
    for row in TABLE.values():
        bound = [(each.system, each.metric.name) for each in row.measurements]
        bound += [(each.system, each.metric.name) for each in row.gauges]
        for system, name in bound:
            if system is not None:
                names.setdefault(system, {})[name] = None
    for system, metrics in names.items():
        yield f"Only components whose system is `{system}` have: {_codes(metrics)}."


def _measured() -> Iterator[tuple[Row, Metric, Iterable[str]]]:
    for row in TABLE.values():
        yield from ((row, each.metric, each.attribute_names) for each in row.measurements)
        yield from ((row, each.metric, each.attribute_names) for each in row.gauges)


def _boundaries() -> tuple[float, ...]:
    seconds = {metric.boundaries for _, metric, _ in _measured() if metric.kind == "histogram" and metric.unit == "s"}
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
