"""Whether what an extra of this distribution needs is installed, without importing any of it."""

import re
from importlib import metadata

DISTRIBUTION = "eventsource-py"


def extra_is_installed(extra: str) -> bool:
    """Tell whether every requirement of *extra* is installed; False if this distribution is not."""
    try:
        requirements = metadata.requires(DISTRIBUTION) or []
        for requirement in requirements:
            if re.search(rf"""extra\s*==\s*['"]{re.escape(extra)}['"]""", requirement):
                metadata.version(_name_of(requirement))
    except metadata.PackageNotFoundError:
        return False
    return True


def _name_of(requirement: str) -> str:
    name = re.match(r"[A-Za-z0-9._-]+", requirement)
    return name.group() if name else requirement
