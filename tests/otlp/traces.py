"""Traces as they are put together from spans of several services."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

from otlp.received import ReceivedSpan


def trace_of(span: ReceivedSpan, spans: Sequence[ReceivedSpan]) -> list[ReceivedSpan]:
    """Return those of *spans* that are in the trace of *span*, in the order in which they started."""
    trace = [each for each in spans if each.span.trace_id == span.span.trace_id]
    return sorted(trace, key=lambda each: each.span.start_time_unix_nano)


def way_to(span: ReceivedSpan, spans: Sequence[ReceivedSpan]) -> list[ReceivedSpan]:
    """Return the ancestors of *span* that are among *spans*, the outermost first, and *span* itself."""
    found = {each.span.span_id: each for each in spans}
    parent = found.get(span.span.parent_span_id)
    return [*(way_to(parent, spans) if parent else ()), span]


def drawn(spans: Sequence[ReceivedSpan]) -> list[str]:
    """Return the lines of the trees that *spans* form: service, name, kind and duration of each."""
    ids = {each.span.span_id for each in spans}
    children: dict[bytes, list[ReceivedSpan]] = defaultdict(list)
    for each in spans:
        parent = each.span.parent_span_id
        children[parent if parent in ids else b""].append(each)
    return [line for root in children[b""] for line in _branch(root, children, 0)]


def _branch(span: ReceivedSpan, children: dict[bytes, list[ReceivedSpan]], depth: int) -> Iterator[str]:
    name = f"{'  ' * (depth - 1)}└ {span.name}" if depth else span.name
    yield f"{span.service:<10} {name:<64} {span.kind:<8} {span.milliseconds:>8.2f} ms"
    for child in children[span.span.span_id]:
        yield from _branch(child, children, depth + 1)
