"""Packages of Debian's, installed where that may be done."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from services.availability import NotAvailableError, required

POLICY = Path("/usr/sbin/policy-rc.d")
"""What packages ask before they start a service."""


def install(*packages: str) -> None:
    """
    Install *packages* as root on Debian, and always in CI; elsewhere do nothing.

    Raises:
        NotAvailableError: If that fails.
    """
    root = os.geteuid() == 0
    if shutil.which("apt-get") and (root or required()):
        privilege = [] if root else ["sudo", "-n"]
        apt = [*privilege, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq", "-o", "DPkg::Lock::Timeout=120"]
        with _no_service_is_started():
            run(*apt, "update")
            run(*apt, "install", "--yes", "--no-install-recommends", *packages)


def run(*command: str, seconds: float = 600) -> str:
    """
    Run *command* and return what it prints.

    Raises:
        NotAvailableError: If it is not there, fails, or takes too long.
    """
    nothing, pipe, both = subprocess.DEVNULL, subprocess.PIPE, subprocess.STDOUT
    try:
        done = subprocess.run(command, check=False, stdin=nothing, stdout=pipe, stderr=both, text=True, timeout=seconds)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotAvailableError(f"'{' '.join(command)}' did not run: {error}") from error
    if done.returncode:
        raise NotAvailableError(f"'{' '.join(command)}' failed: {done.stdout.strip()[-2000:]}")
    return done.stdout


@contextmanager
def _no_service_is_started() -> Iterator[None]:
    if POLICY.exists() or not os.access(POLICY.parent, os.W_OK):
        yield
        return
    POLICY.write_text("#!/bin/sh\nexit 101\n")
    POLICY.chmod(0o755)
    try:
        yield
    finally:
        POLICY.unlink()
