"""How an exception shows on a span."""

import asyncio
import re
import traceback

from opentelemetry.semconv.attributes.error_attributes import ERROR_TYPE
from opentelemetry.semconv.attributes.exception_attributes import (
    EXCEPTION_MESSAGE,
    EXCEPTION_STACKTRACE,
    EXCEPTION_TYPE,
)
from opentelemetry.trace import Span, Status, StatusCode

# pydantic shows 50 characters of a value, more where it has to escape them; the bound keeps the search linear.
_VALUE = r", input_value=(?s:.{0,200}), input_type=\w+"
# It shows all of a tag. A short one may contain what looks like its end; a long one ends before the next tag begins.
_END_OF_TAG = r"'(?= found using [^\n]{1,200} does not match any of the expected tags)"
_TAG = rf"(?<=Input tag) '(?:[^\n]{{0,200}}|(?s:(?:(?!Input tag ').)*?)){_END_OF_TAG}"
_INPUT = re.compile(f"{_VALUE}|{_TAG}")


def error_type(error: BaseException | None) -> str | None:
    """Return what ``error.type`` says of *error*; leaving a generator early, as one may, is none."""
    return None if error is None or isinstance(error, GeneratorExit) else type(error).__name__


def mark_failed(span: Span, error: BaseException) -> None:
    """Set on *span* what *error*, which leaves it, is; validation errors without the values that they quote."""
    kind = error_type(error)
    if kind is None:
        return
    span.set_attribute(ERROR_TYPE, kind)
    if isinstance(error, asyncio.CancelledError):  # ended from outside, which is no failure
        return
    message = _INPUT.sub("", _message(error))
    span.set_status(Status(StatusCode.ERROR, message))
    stack = _INPUT.sub("", "".join(traceback.format_exception(error)))
    span.add_event(
        "exception", {EXCEPTION_TYPE: _full_name(error), EXCEPTION_MESSAGE: message, EXCEPTION_STACKTRACE: stack}
    )


def _message(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # whoever wrote the exception's class did not expect this one
        return type(error).__name__


def _full_name(error: BaseException) -> str:
    cls = type(error)
    return cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"
