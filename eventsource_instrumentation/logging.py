"""The ids of the current span on log records."""

import logging

from opentelemetry import trace


class TraceContextFilter(logging.Filter):
    """
    Sets ``trace_id`` and ``span_id`` on each record, in hexadecimal as W3C Trace Context writes them.

    Both are empty outside of any span. Add it to a handler, and the names to that handler's format.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Complete *record*; none is held back."""
        context = trace.get_current_span().get_span_context()
        record.trace_id = trace.format_trace_id(context.trace_id) if context.is_valid else ""
        record.span_id = trace.format_span_id(context.span_id) if context.is_valid else ""
        return True
