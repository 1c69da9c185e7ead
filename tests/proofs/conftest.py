"""How long the proofs take, what they show, and the processes and disks that they use."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from services.fixtures import do_without

PROGRAMS = Path(__file__).parent / "programs"


@pytest.fixture
def size() -> Callable[[int, int], int]:
    """Choose between the size of a short run and that of a long one."""
    return lambda short, long: long if os.environ.get("EVENTSOURCE_PROOF") == "long" else short


@pytest.fixture
def report() -> Callable[[str], None]:
    """Show a figure to whoever runs pytest with -s."""
    return lambda line: print(f"\n    {line}", end="")  # noqa: T201


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file that does not exist yet."""
    return tmp_path / "events.db"


@pytest.fixture
def start() -> Iterator[Callable[..., "subprocess.Popen[str]"]]:
    """Start one of the programs in a process of its own, which does not outlive the test."""
    started: list[subprocess.Popen[str]] = []

    def start(program: str, *arguments: object, under: tuple[object, ...] = ()) -> "subprocess.Popen[str]":
        command = [*under, sys.executable, "-W", "error", PROGRAMS / program, *arguments]
        pipe = subprocess.PIPE
        started.append(subprocess.Popen([*map(str, command)], stdin=pipe, stdout=pipe, text=True))
        return started[-1]

    yield start
    for process in started:
        with process:
            process.kill()


@pytest.fixture
def strace() -> str:
    """The program that counts system calls."""
    try:
        subprocess.run(["strace", "-o", os.devnull, "true"], check=True, capture_output=True, timeout=60)
    except (OSError, subprocess.CalledProcessError) as error:
        do_without(f"strace does not run here ({error}): install it as root with 'apt-get install strace'")
    return "strace"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small disk of the test's own."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1000000", "tmpfs", str(disk)]
    try:
        subprocess.run(mount, check=True, capture_output=True, timeout=60)
    except (OSError, subprocess.CalledProcessError) as error:
        do_without(f"no disk can be mounted here ({error}): run pytest as root")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True, timeout=60)
