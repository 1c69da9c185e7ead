"""
Runs the blocks of a page of the documentation, from the top down: ``python run_page.py PAGE``.

The info string of a block says what is done with it:

- ``python``: run, in one namespace for the whole page; ``await`` may stand at the top level
- ``python no-run``: not run
- ``console run``: the lines that begin with ``$`` are run as commands, the others are what those print
- ``text``: what the block before it has printed; times, ids and what ``...`` stands for aside
- any language with ``file=PATH``: not run, but the same as that file beside the page
- any language with ``save=NAME``: not run, but written to the file NAME in the current directory
"""

import ast
import asyncio
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from doctest import ELLIPSIS, NORMALIZE_WHITESPACE, OutputChecker
from io import StringIO
from pathlib import Path
from subprocess import PIPE, STDOUT
from types import ModuleType
from typing import NamedTuple

_BLOCK = re.compile(r"^```(\w+) ?(.*)\n((?:.*\n)*?)```$", re.MULTILINE)
_CHANGING = re.compile(
    r"\b[\da-f]{8}(?:-[\da-f]{4}){3}-[\da-f]{12}\b"  # UUIDs
    r"|\b00-[\da-f]{32}-[\da-f]{16}-[\da-f]{2}\b"  # traceparents, whose flags differ between SDKs
    r"|\b(?:[\da-f]{16}){1,2}\b"  # ids of spans and traces
    r"|\b\d+\.\d+(?= ?m?s\b)"  # durations
)


class Block(NamedTuple):
    """One fenced block, and where in the page its text begins, counting from 0."""

    line: int
    language: str
    options: dict[str, str]
    text: str


def blocks_of(page: Path) -> Iterator[Block]:
    """Yield the fenced blocks of *page*."""
    text = page.read_text()
    for found in _BLOCK.finditer(text):
        options = dict(option.partition("=")[::2] for option in found[2].split())
        yield Block(text.count("\n", 0, found.start(3)), found[1], options, found[3])


class Runner:
    """Runs the blocks of one page."""

    def __init__(self, page: Path, loop: asyncio.Runner) -> None:
        self._page = page
        self._loop = loop
        self._printed = ""
        self._module = sys.modules["__main__"] = ModuleType("__main__")

    def run(self, block: Block) -> None:
        """Do with *block* what its info string says."""
        if block.options.keys() & {"file", "save"}:
            self._keep(block, **block.options)
        elif block.language == "python" and "no-run" not in block.options:
            self._run_python(block)
        elif block.language == "console" and "run" in block.options:
            self._run_commands(block)
        elif block.language == "text":
            self._compare(block, block.text)

    def _keep(self, block: Block, file: str | None = None, save: str | None = None) -> None:
        if file:
            self._expect(block, (self._page.parent / file).read_text() == block.text)
        if save:
            Path(save).write_text(block.text)

    def _run_python(self, block: Block) -> None:
        source = "\n" * block.line + block.text
        code = compile(source, str(self._page), "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        with redirect_stdout(StringIO()) as printed:
            result = eval(code, vars(self._module))
            if code.co_flags & inspect.CO_COROUTINE:
                self._loop.run(result)
        self._printed = printed.getvalue()

    def _run_commands(self, block: Block) -> None:
        lines = block.text.splitlines(keepends=True)
        self._printed = ""
        for command in (line[1:] for line in lines if line.startswith("$")):
            done = subprocess.run(command, shell=True, check=False, text=True, stdout=PIPE, stderr=STDOUT)
            self._printed += done.stdout
            self._expect(block, done.returncode == 0)
        if expected := "".join(line for line in lines if not line.startswith("$")):
            self._compare(block, expected)

    def _compare(self, block: Block, expected: str) -> None:
        want, got = _CHANGING.sub("#", expected), _CHANGING.sub("#", self._printed)
        self._expect(block, OutputChecker().check_output(want, got, ELLIPSIS | NORMALIZE_WHITESPACE))

    def _expect(self, block: Block, true: bool) -> None:
        if not true:
            place = f"{self._page}:{block.line}: the block of {block.language}"
            sys.exit(f"{place} does not fit:\n\n{block.text}\nPrinted before it:\n\n{self._printed}")


def main() -> None:
    """Run the page that the command line names."""
    page = Path(sys.argv[1])
    with asyncio.Runner() as loop:
        runner = Runner(page, loop)
        for block in blocks_of(page):
            runner.run(block)


if __name__ == "__main__":
    main()
