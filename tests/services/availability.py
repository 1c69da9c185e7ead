"""What to do where something cannot be had."""

import os


class NotAvailableError(Exception):
    """Something that is needed cannot be had here; the message says how to get it."""


def required() -> bool:
    """Whether everything has to be there, and may be installed: so it is in CI."""
    return os.environ.get("CI") == "true"
