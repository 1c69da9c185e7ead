"""The version of the distribution, which is that of the instrumentation."""

from eventsource import __version__

__all__ = ["__version__"]
