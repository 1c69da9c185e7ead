"""Servers that refuse to be run by root: as which user, and in which directory."""

import os
import pwd
import shutil
import tempfile
from pathlib import Path
from uuid import uuid4

USER = "postgres"
"""Who owns what Debian's packages of such servers run."""


def is_needed() -> bool:
    """Whether this program is run by root."""
    return os.geteuid() == 0


def command(*words: str | Path) -> tuple[str | Path, ...]:
    """What runs *words* as somebody else, in the same process."""
    return ("setpriv", f"--reuid={USER}", f"--regid={USER}", "--init-groups", "--", *words) if is_needed() else words


def directory_beside(directory: Path) -> Path:
    """A directory for one server: where root works, others may not even look."""
    return Path(tempfile.gettempdir(), f"eventsource-{uuid4()}") if is_needed() else directory / "data"


def own(directory: Path) -> None:
    """Make *directory*, and let the server have it."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    if is_needed():
        for path in (directory, *directory.iterdir()):
            shutil.chown(path, USER, pwd.getpwnam(USER).pw_gid)
