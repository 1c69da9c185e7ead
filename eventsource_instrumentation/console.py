"""Traces as trees on a terminal."""

import sys
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Sequence
from threading import Lock
from typing import TextIO

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.semconv.attributes.error_attributes import ERROR_TYPE

from eventsource import observability as es

_MOST_WAITING = 10_000
_PLAIN = str.maketrans("└├│─✗", "`||-x")
_SHOWN = {
    es.ATTR_AGGREGATE_TYPE: "{}",
    es.ATTR_PROJECTION_NAME: "{}",
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

    A tree is written when its root has ended: a span without a parent in this process. What ends after that, in the
    background, is written by itself; what has no root yet is written on shutdown.

    Args:
        out: Where to; standard output if not given.
    """

    def __init__(self, out: TextIO | None = None) -> None:
        self._out = out
        self._lock = Lock()
        self._incoming: deque[ReadableSpan] = deque()
        self._waiting: dict[int, ReadableSpan] = {}
        self._written: dict[int, None] = {}

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Keep *spans* until the root of their tree comes, then write them."""
        self._incoming.extend(spans)
        # Whoever writes takes along what comes meanwhile, from other threads or, by a finalizer, from its own.
        while self._incoming and self._lock.acquire(blocking=False):
            try:
                self._take([self._incoming.popleft() for _ in range(len(self._incoming))])
            finally:
                self._lock.release()
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        """Write what is left."""
        with self._lock:
            self._write(list(self._waiting.values()))

    def _take(self, spans: Sequence[ReadableSpan]) -> None:
        self._waiting.update((span.context.span_id, span) for span in spans)
        for span in spans:
            if self._is_root(span):
                self._write(_tree_of(span, self._waiting.values()))
        while len(self._waiting) > _MOST_WAITING:
            self._write([next(iter(self._waiting.values()))])

    def _is_root(self, span: ReadableSpan) -> bool:
        return span.parent is None or span.parent.is_remote or span.parent.span_id in self._written

    def _write(self, spans: Sequence[ReadableSpan]) -> None:
        written = [span for span in spans if self._waiting.pop(span.context.span_id, None)]
        if not written:
            return
        out = self._out or sys.stdout
        print(_encodable("\n".join(tree_lines(written)), out.encoding), file=out, flush=True)
        self._written.update((span.context.span_id, None) for span in written)
        while len(self._written) > _MOST_WAITING:
            del self._written[next(iter(self._written))]


def _encodable(text: str, encoding: str | None) -> str:
    """Return *text*, drawn with plain characters where *encoding* has no others."""
    try:
        text.encode(encoding or "utf-8")
    except UnicodeEncodeError:
        return text.translate(_PLAIN).encode("ascii", "replace").decode()
    return text


def _tree_of(root: ReadableSpan, spans: Iterable[ReadableSpan]) -> list[ReadableSpan]:
    children: dict[int, list[ReadableSpan]] = defaultdict(list)
    for span in spans:
        if span.parent is not None and not span.parent.is_remote:
            children[span.parent.span_id].append(span)
    tree = [root]
    for span in tree:
        tree.extend(children[span.context.span_id])
    return tree


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
    return "  ".join((*shown, f"links={len(span.links)}") if span.links else shown)


def _text(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
