"""Traces as trees on a terminal."""

import sys
from collections import OrderedDict, defaultdict
from collections.abc import Iterator, Sequence
from typing import TextIO

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.semconv.attributes.error_attributes import ERROR_TYPE

from eventsource import observability as es

_LONGEST_WAIT = 1000
_SHOWN = {
    es.ATTR_AGGREGATE_TYPE: "{}",
    es.ATTR_EVENT_TYPE: "{}",
    es.ATTR_EVENT_TYPES: "{}",
    es.ATTR_HANDLER_NAME: "{}",
    es.ATTR_EVENT_COUNT: "events={}",
    es.ATTR_EVENTS_REPLAYED: "replayed={}",
    es.ATTR_VERSION: "version={}",
    es.ATTR_SNAPSHOT_FOUND: "found={}",
    ERROR_TYPE: "✗ {}",
}


class TraceTreeExporter(SpanExporter):
    """
    Writes each trace as a tree, with the duration of each span and what matters most of its attributes.

    A trace is written when its root in this process has ended; what has no root yet is written on shutdown.

    Args:
        out: Where to; standard output if not given.
    """

    def __init__(self, out: TextIO | None = None) -> None:
        self._out = out
        self._waiting: OrderedDict[int, list[ReadableSpan]] = OrderedDict()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Keep *spans* until the root of their trace comes, then write them."""
        for span in spans:
            self._waiting.setdefault(span.context.trace_id, []).append(span)
            if span.parent is None or span.parent.is_remote:
                self._write(span.context.trace_id)
        while len(self._waiting) > _LONGEST_WAIT:
            self._write(next(iter(self._waiting)))
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        """Write what is left."""
        for trace_id in list(self._waiting):
            self._write(trace_id)

    def _write(self, trace_id: int) -> None:
        print("\n".join(tree_lines(self._waiting.pop(trace_id))), file=self._out or sys.stdout, flush=True)


def tree_lines(spans: Sequence[ReadableSpan]) -> Iterator[str]:
    """Yield the lines of the trees that *spans* form, children in the order in which they started."""
    ids = {span.context.span_id for span in spans}
    children: dict[int | None, list[ReadableSpan]] = defaultdict(list)
    for span in sorted(spans, key=lambda each: each.start_time or 0):
        parent = span.parent.span_id if span.parent and span.parent.span_id in ids else None
        children[parent].append(span)
    for root in children[None]:
        yield from _branch(root, children, "", "")


def _branch(span: ReadableSpan, children: dict[int | None, list[ReadableSpan]], first: str, rest: str) -> Iterator[str]:
    yield f"{first + span.name:<64} {_milliseconds(span):>9.2f} ms  {_summary(span)}".rstrip()
    below = children[span.context.span_id]
    for child in below:
        last = child is below[-1]
        yield from _branch(child, children, rest + ("└─ " if last else "├─ "), rest + ("   " if last else "│  "))


def _milliseconds(span: ReadableSpan) -> float:
    return ((span.end_time or 0) - (span.start_time or 0)) / 1e6


def _summary(span: ReadableSpan) -> str:
    attributes = span.attributes or {}
    shown = (form.format(_text(attributes[name])) for name, form in _SHOWN.items() if name in attributes)
    return "  ".join(shown)


def _text(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
