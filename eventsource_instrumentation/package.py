"""What opentelemetry-instrumentation asks a package: which other distributions it instruments, and what it supports."""

_instruments: tuple[str, ...] = ()
"""None: one distribution ships both packages, so their versions always fit."""

_supports_metrics = True
_semconv_status = "development"
