"""What the pages show is true: their code runs, and prints what they say; their links lead somewhere."""

import asyncio
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias
from urllib.parse import urlsplit
from uuid import uuid4

import asyncpg
import pytest

Run: TypeAlias = Callable[..., subprocess.CompletedProcess[str]]

ROOT = Path(__file__).parents[2]
RUNNER = Path(__file__).with_name("run_page.py")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]

SERVICES = {"RABBITMQ_URL": "rabbitmq_url", "KAFKA_SERVERS": "kafka_address", "POSTGRESQL_DSN": "empty_database"}
"""The fixtures that tell what a page finds in its environment, if it asks for it."""

LINK = re.compile(r"\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)")
HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)
FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)

WRONG = {
    "an error": ("```python\n1 / 0\n```\n", "ZeroDivisionError"),
    "a warning": ("```python\nimport warnings\nwarnings.warn('old')\n```\n", "UserWarning: old"),
    "an error behind an await": (
        "```python\nimport asyncio\nawait asyncio.sleep(0)\n1 / 0\n```\n",
        "ZeroDivisionError",
    ),
    "another output": ("```python\nprint(1)\n```\n\n```text\n2\n```\n", "Printed before it:\n\n1"),
    "a command that fails": ("```console run\n$ python -c '1 / 0'\n```\n", "ZeroDivisionError"),
    "another output of a command": ("```console run\n$ echo 1\n2\n```\n", "Printed before it:\n\n1"),
    "another file": ("```python file=page.md\n1\n```\n", "does not fit"),
}
RIGHT = {
    "no code": "",
    "one namespace": "```python\nx = 1\n```\n\n```python\nprint(x)\n```\n\n```text\n1\n```\n",
    "an await": "```python\nimport asyncio\nawait asyncio.sleep(0)\nprint(1)\n```\n\n```text\n1\n```\n",
    "a loop of its own": "```python\nimport asyncio\nasyncio.run(asyncio.sleep(0))\n```\n",
    "code that is not run": "```python no-run\n1 / 0\n```\n",
    "commands that are not run": "```console\n$ false\n```\n",
    "a saved file": "```python save=one.py\nprint(1)\n```\n\n```console run\n$ python one.py\n1\n```\n",
    "a time": "```python\nprint('took 0.17 ms')\n```\n\n```text\ntook 2.20 ms\n```\n",
    "an id": "```python\nprint('0af7651916cd43dd')\n```\n\n```text\nb7ad6b7169203331\n```\n",
}


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def anchors_of(page: Path) -> set[str]:
    """The headings of *page* as a browser finds them."""
    headings = HEADING.findall(FENCED.sub("", page.read_text()))
    return {re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


@pytest.fixture
def empty_database(postgresql_dsn: str) -> Iterator[str]:
    """Where a database of PostgreSQL is that the page has for itself."""
    name = f"page-{uuid4()}"
    asyncio.run(execute(postgresql_dsn, f'CREATE DATABASE "{name}"'))
    yield urlsplit(postgresql_dsn)._replace(path=f"/{name}").geturl()
    asyncio.run(execute(postgresql_dsn, f'DROP DATABASE "{name}" WITH (FORCE)'))


async def execute(address: str, statement: str) -> None:
    """Have a PostgreSQL execute a statement."""
    connection = await asyncpg.connect(address)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


@pytest.fixture
def services(page: Path, request: pytest.FixtureRequest) -> dict[str, str]:
    """The variables with the addresses of those services that the code of the page asks for."""
    text = page.read_text()
    return {
        variable: request.getfixturevalue(fixture)
        for variable, fixture in SERVICES.items()
        if f'os.environ["{variable}"]' in text
    }


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_the_code_of_a_page_runs(page: Path, services: dict[str, str], run_python: Run) -> None:
    """From the top down, and it prints what the page says."""
    done = run_python(RUNNER, page, **services)

    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_the_links_of_a_page_lead_somewhere(page: Path) -> None:
    """To a file, and to a heading in it if they name one."""
    links = LINK.findall(FENCED.sub("", page.read_text()))

    targets = [((page.parent / path).resolve() if path else page, anchor) for path, anchor in links]
    dead = [
        f"{target}#{anchor}"
        for target, anchor in targets
        if not target.exists() or (anchor and anchor not in anchors_of(target))
    ]

    assert dead == []


@pytest.mark.parametrize("page", PAGES[1:], ids=name)
def test_a_page_is_found_from_the_index(page: Path) -> None:
    """No page is known only to who wrote it."""
    index = ROOT / "docs/README.md"
    found = {(index.parent / path).resolve() for path, _ in LINK.findall(index.read_text())} | {index}

    assert page in found


@pytest.mark.parametrize(("text", "message"), WRONG.values(), ids=WRONG)
def test_a_page_that_is_wrong_is_noticed(text: str, message: str, tmp_path: Path, run_python: Run) -> None:
    """Else the tests above would say nothing; the place is told too."""
    page = tmp_path / "page.md"
    page.write_text(f"# Title\n\n{text}")

    done = run_python(RUNNER, page)

    assert done.returncode != 0
    assert message in done.stderr
    assert "page.md" in done.stderr


@pytest.mark.parametrize("text", RIGHT.values(), ids=RIGHT)
def test_a_page_that_is_right_is_let_pass(text: str, tmp_path: Path, run_python: Run) -> None:
    """A page may show all of this."""
    page = tmp_path / "page.md"
    page.write_text(f"# Title\n\n{text}")

    done = run_python(RUNNER, page)

    assert done.returncode == 0, done.stderr
