"""The ids of the current span on log records."""

import io
import logging
from collections.abc import Iterator

import pytest
from opentelemetry import trace
from opentelemetry.trace import NonRecordingSpan, SpanContext

from eventsource_instrumentation.logging import TraceContextFilter
from eventsource_instrumentation.recording import RecordedSpans

TRACE_ID = 0x0AF7651916CD43DD8448EB211C80319C
SPAN_ID = 0x00AD6B7169203331


@pytest.fixture
def out() -> io.StringIO:
    """What is logged."""
    return io.StringIO()


@pytest.fixture
def logger(out: io.StringIO) -> Iterator[logging.Logger]:
    """A logger whose handler has the filter."""
    logger = logging.getLogger("doors")
    handler = logging.StreamHandler(out)
    handler.addFilter(TraceContextFilter())
    handler.setFormatter(logging.Formatter("[%(trace_id)s/%(span_id)s] %(message)s"))
    logger.addHandler(handler)
    yield logger
    logger.removeHandler(handler)


def test_records_have_the_ids_as_they_are_written_in_headers(logger: logging.Logger, out: io.StringIO) -> None:
    """In hexadecimal, with leading zeros."""
    with trace.use_span(NonRecordingSpan(SpanContext(TRACE_ID, SPAN_ID, is_remote=False))):
        logger.warning("opened")

    assert out.getvalue() == "[0af7651916cd43dd8448eb211c80319c/00ad6b7169203331] opened\n"


def test_outside_of_any_span_they_are_empty(logger: logging.Logger, out: io.StringIO) -> None:
    """The format works there too, and no record is held back."""
    logger.warning("opened")

    assert out.getvalue() == "[/] opened\n"


def test_inside_a_recorded_span_they_are_its_own(
    logger: logging.Logger, out: io.StringIO, eventsource_spans: RecordedSpans
) -> None:
    """So that one finds the other."""
    with eventsource_spans.provider.get_tracer("here").start_as_current_span("request"):
        logger.warning("opened")

    context = eventsource_spans.one("request").context
    assert out.getvalue() == f"[{context.trace_id:032x}/{context.span_id:016x}] opened\n"
