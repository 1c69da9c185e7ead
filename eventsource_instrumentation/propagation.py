"""W3C trace context between spans and headers."""

from collections.abc import Iterable

from opentelemetry import propagate, trace
from opentelemetry.context import Context, get_current
from opentelemetry.propagators.textmap import Getter
from opentelemetry.trace import Link
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from eventsource.types import Headers
from eventsource_instrumentation.rows import Carried

MOST_LINKS = 128
"""How many links a span may have: what an SDK keeps if nobody tells it otherwise."""

_STORED = TraceContextTextMapPropagator()
_BAGGAGE = "baggage"
_TRACEPARENT = "traceparent"


class _AnyCase(Getter[Headers]):
    """Finds headers as HTTP does, whose frameworks like to write ``Traceparent``."""

    def get(self, carrier: Headers, key: str) -> list[str] | None:
        return [value for name, value in carrier.items() if name.lower() == key.lower()] or None

    def keys(self, carrier: Headers) -> list[str]:
        return list(carrier)


_ANY_CASE = _AnyCase()


def parent_from(headers: Headers | None) -> Context | None:
    """Return the context in *headers* where there is no current span whose child could be made."""
    if not headers or trace.get_current_span().get_span_context().is_valid:
        return None
    return propagate.extract(headers, get_current(), _ANY_CASE)


def link_to(context: Context) -> list[Link]:
    """Return a link to what is current in *context*, if there is something and it is sampled."""
    found = trace.get_current_span(context).get_span_context()
    return [Link(found)] if found.is_valid and found.trace_flags.sampled else []


def links_to(headers: Iterable[Headers]) -> list[Link]:
    """Return a link to each sampled context that is in *headers*: each once, and as many as a span may have."""
    links: dict[str, Link] = {}
    for each in headers:
        found = _ANY_CASE.get(each, _TRACEPARENT)
        if found is None or (text := found[0]) in links:
            continue
        for link in link_to(_STORED.extract(each, Context(), _ANY_CASE)):
            links[text] = link
        if len(links) == MOST_LINKS:
            break
    return list(links.values())


def with_current_context(headers: Headers | None, carried: Carried) -> Headers | None:
    """
    Return *headers* with the context of the current span instead of any other; with their own, if there is none.

    A message is given what the global propagator injects; what is stored is given ``traceparent`` and ``tracestate``
    only (W3C Trace Context), for baggage is not made to be kept.
    """
    propagator = _STORED if carried == "stored" else propagate.get_global_textmap()
    context: dict[str, str] = {}
    propagator.inject(context)
    if not headers:
        return context or headers
    if not context:
        return _without(headers, {_BAGGAGE}) if carried == "stored" else headers
    replaced = {name.lower() for name in propagator.fields | _STORED.fields} | {_BAGGAGE}
    return {**_without(headers, replaced), **context}


def _without(headers: Headers, names: set[str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.lower() not in names}
