"""What was acknowledged has been flushed to the disk, and survives a power cut."""

import subprocess
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest

LONG, SHORT = 2000, 200


@pytest.mark.parametrize("tasks", [1, 64])
def test_every_acknowledged_transaction_was_flushed(
    path: Path,
    strace: str,
    start: Callable[..., "subprocess.Popen[str]"],
    size: Callable[[int, int], int],
    report: Callable[[str], None],
    tasks: int,
) -> None:
    """There is at least one flush for each of them, with one writer and with many that share transactions."""
    appends = size(SHORT, LONG) // tasks + 10

    shared, flushes = _counted(start, strace, path, tasks, appends)

    transactions = round(sum(Fraction(1, each) for each in shared))
    assert len(shared) == tasks * appends
    assert flushes >= transactions
    report(f"FULL, {tasks} writer(s): {len(shared)} appends in {transactions} transactions, {flushes} flushes")


def test_less_is_flushed_where_that_was_asked_for(
    path: Path,
    strace: str,
    start: Callable[..., "subprocess.Popen[str]"],
    size: Callable[[int, int], int],
    report: Callable[[str], None],
) -> None:
    """With NORMAL the transactions are not flushed one by one; so the count above is no accident."""
    appends = size(SHORT, LONG)

    shared, flushes = _counted(start, strace, path, 1, appends, "NORMAL")

    assert len(shared) == appends
    assert flushes < appends
    report(f"NORMAL, 1 writer(s): {appends} appends in {appends} transactions, {flushes} flushes")


def _counted(
    start: Callable[..., "subprocess.Popen[str]"], strace: str, path: Path, tasks: int, appends: int, *options: str
) -> tuple[list[int], int]:
    """Return, of each acknowledged append, how many its transaction carried; and how often they were flushed."""

    def run(path: Path, *arguments: object) -> tuple[list[str], int]:
        summary = path.with_suffix(".strace")
        under = (strace, "-f", "-c", "-o", summary, "-e", "trace=fdatasync,fsync")
        lines, _ = start("appending.py", path, *arguments, *options, under=under).communicate(timeout=600)
        rows = [line.split() for line in summary.read_text().splitlines()]
        return lines.splitlines(), sum(int(row[3]) for row in rows if row and row[-1] in ("fdatasync", "fsync"))

    _, flushes_without_appends = run(path.with_name("idle.db"), 0, appends)
    lines, flushes = run(path, tasks, appends)
    return [int(line.split()[3]) for line in lines], flushes - flushes_without_appends
