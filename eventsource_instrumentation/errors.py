"""How an exception shows on a span."""

import asyncio
import re
import traceback

from opentelemetry.semconv.attributes.error_attributes import ERROR_TYPE
from opentelemetry.semconv.attributes.exception_attributes import EXCEPTION_MESSAGE, EXCEPTION_STACKTRACE
from opentelemetry.trace import Span, Status, StatusCode

# As a rule a value is shown on one line, and may contain what looks like its end; only odd ones take several lines.
_INPUT = re.compile(r", input_value=(?:.*|(?s:.*?)), input_type=\w+")


def mark_failed(span: Span, error: BaseException) -> None:
    """Set on *span* what *error*, which leaves it, is; validation errors without the input that they quote."""
    if isinstance(error, GeneratorExit):  # somebody left a loop early, as one may
        return
    span.set_attribute(ERROR_TYPE, type(error).__name__)
    if isinstance(error, asyncio.CancelledError):  # ended from outside, which is no failure
        return
    message = _INPUT.sub("", str(error))
    stack = _INPUT.sub("", "".join(traceback.format_exception(error)))
    span.record_exception(error, {EXCEPTION_MESSAGE: message, EXCEPTION_STACKTRACE: stack})
    span.set_status(Status(StatusCode.ERROR, message))
