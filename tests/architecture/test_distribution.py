"""What is delivered, with what it needs, and that it is what the tests run against."""

import json
import re
import tomllib
from configparser import ConfigParser
from importlib import metadata
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

import eventsource


@pytest.fixture
def declared(root: Path) -> dict[str, Any]:
    """What pyproject.toml says."""
    return tomllib.loads((root / "pyproject.toml").read_text())


def test_the_wheel_holds_both_packages_typed_and_nothing_else(wheel: Path) -> None:
    """Neither tests nor benchmarks are installed at people's."""
    with ZipFile(wheel) as archive:
        names = archive.namelist()

    assert {name.partition("/")[0] for name in names if ".dist-info/" not in name} == {
        "eventsource",
        "eventsource_instrumentation",
    }
    assert {"eventsource/py.typed", "eventsource_instrumentation/py.typed"} <= set(names)
    assert [name for name in names if name.endswith("/licenses/LICENSE")]


def test_the_wheel_announces_its_plugins(wheel: Path) -> None:
    """`opentelemetry-instrument` and pytest find them without being told."""
    entry_points = ConfigParser(delimiters="=")
    with ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith("/entry_points.txt"))
        entry_points.read_string(archive.read(name).decode())

    assert entry_points["opentelemetry_instrumentor"]["eventsource"] == (
        "eventsource_instrumentation:EventsourceInstrumentor"
    )
    assert entry_points["pytest11"]["eventsource"] == "eventsource_instrumentation.pytest_plugin"


def test_the_tests_import_what_is_installed(root: Path) -> None:
    """The source tree is imported only where it is what was installed, in a developer's environment."""
    distribution = metadata.distribution("eventsource-py")
    origin = json.loads(distribution.read_text("direct_url.json") or "{}")
    editable = origin.get("dir_info", {}).get("editable", False)
    home = root if editable else Path(str(distribution.locate_file("")))

    assert Path(eventsource.__file__).is_relative_to((home / "eventsource").resolve())


def test_the_lowest_versions_that_are_tested_are_those_declared(root: Path, declared: dict[str, Any]) -> None:
    """A bound that no run ever tried is a guess."""
    project = declared["project"]
    extras = project["optional-dependencies"]
    drivers = extras["kafka"] + extras["rabbitmq"] + extras["postgresql"]
    promised = project["dependencies"] + extras["telemetry"] + extras["progress"] + drivers
    lowest = {line for line in (root / "tests/lowest.txt").read_text().splitlines() if not line.startswith("#")}

    bounds = {line.replace(">=", "==") for line in promised}
    tools = {line.replace(">=", "==") for line in extras["test"] + extras["dev"]}

    assert bounds <= lowest
    assert lowest <= bounds | tools


def test_every_dependency_has_a_lower_bound_and_no_upper_one(declared: dict[str, Any]) -> None:
    """A library that caps what it uses keeps its users from upgrading."""
    project = declared["project"]
    extras = [line for extra in project["optional-dependencies"].values() for line in extra]
    requirements = [Requirement(line) for line in project["dependencies"] + extras]

    bounds = {str(each): [specifier.operator for specifier in each.specifier] for each in requirements}

    assert {line for line, operators in bounds.items() if operators != [">="]} == {
        line for line in bounds if line.startswith("eventsource-py[")
    }


def test_the_extra_named_all_is_all_the_others(declared: dict[str, Any]) -> None:
    """Nothing is missing for who asks for everything; tools for working on the project are no part of it."""
    extras = declared["project"]["optional-dependencies"]

    asked = Requirement(extras["all"][0]).extras

    assert asked == set(extras) - {"all", "test", "lint", "types", "dev"}


def test_the_changelog_begins_with_this_version(root: Path) -> None:
    """A release is described before it is made."""
    versions = re.findall(r"^## \[?(\d+\.\d+\.\d+)", (root / "CHANGELOG.md").read_text(), re.MULTILINE)

    assert Version(versions[0]) == Version(metadata.version("eventsource-py"))
