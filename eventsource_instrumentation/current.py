"""Making a span current, and what was current before current again."""

from contextvars import Token

from opentelemetry import context as otel_context
from opentelemetry.context import Context


class CurrentContext:
    """A context that is current from `enter` to `leave`."""

    __slots__ = ("_context", "_token")

    def __init__(self) -> None:
        self._context: Context | None = None
        self._token: Token[Context] | None = None

    def enter(self, context: Context) -> None:
        """Make *context* current."""
        self._context = context
        self._token = otel_context.attach(context)

    def leave(self, error: BaseException | None) -> None:
        """Make what was current before `enter` current again, if there was an `enter`; *error* ended the work."""
        if self._token is None:
            return
        # A coroutine that is thrown away may be closed in another context, where there is nothing to restore.
        if isinstance(error, GeneratorExit) and otel_context.get_current() is not self._context:
            return
        otel_context.detach(self._token)
