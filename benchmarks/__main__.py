"""
Run all benchmarks, or those that are named.

Usage: python -m benchmarks [appending] [postgresql] [loading] [following] [telemetry] [publishing] [rabbitmq] [kafka]
"""

import asyncio
import os
import platform
import sqlite3
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

sys.path.append(str(Path(__file__).parent.parent))  # behind an installed package, also for `python benchmarks`

from benchmarks.measuring import ROUNDS, Figure, Latency

ALL = ("appending", "postgresql", "loading", "following", "telemetry", "publishing", "rabbitmq", "kafka")


def main(names: list[str]) -> int:
    """Run what is named and return the exit code."""
    if unknown := sorted(set(names) - set(ALL)):
        print(f"no benchmark is called {', '.join(unknown)}; there are {', '.join(ALL)}", file=sys.stderr)
        return 2
    versions = f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, {os.cpu_count()} cores"
    print(f"{versions}; medians of {ROUNDS} rounds, in turn; 0.5 is half as fast as the peer, 2 twice as fast")
    for name in names or ALL:
        module = import_module(f"benchmarks.{name}")
        print(f"\n{name}: {(module.__doc__ or '').strip()}")
        show(asyncio.run(module.run()))
    return 0


def show(results: Sequence[Figure | Latency]) -> None:
    """Print a table of the figures, and one of the latencies."""
    figures = [
        (each.what, _time(each.seconds), each.peer, _time(each.peer_seconds), f"{each.ratio:.2f}")
        for each in results
        if isinstance(each, Figure)
    ]
    latencies = [(each.what, _time(each.median), _time(each.p99)) for each in results if isinstance(each, Latency)]
    _print_table(("", "takes", "peer", "takes", "ratio"), figures)
    _print_table(("", "median", "p99"), latencies)


def _print_table(titles: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    if not rows:
        return
    widths = [max(map(len, column)) for column in zip(titles, *rows, strict=True)]
    for cells in (titles, *rows):
        columns = zip(titles, cells, widths, strict=True)
        aligned = (f"{cell:{'<' if title in ('', 'peer') else '>'}{width}}" for title, cell, width in columns)
        print("  " + "  ".join(aligned))


def _time(seconds: float) -> str:
    return f"{seconds * 1e6:.1f} µs" if seconds < 1e-3 else f"{seconds * 1e3:.2f} ms"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
