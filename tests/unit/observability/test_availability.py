"""Whether what an extra needs is installed."""

import sys
from pathlib import Path

import pytest

from eventsource import observability
from eventsource.observability.availability import DISTRIBUTION, extra_is_installed

METADATA = "Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"


def install(folder: Path, name: str, *requirements: str) -> None:
    """Install a distribution that consists of its metadata."""
    info = folder / f"{name.replace('-', '_')}-1.0.dist-info"
    info.mkdir()
    lines = "".join(f"Requires-Dist: {requirement}\n" for requirement in requirements)
    (info / "METADATA").write_text(METADATA.format(name=name) + lines)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder whose distributions are the only ones installed."""
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    return tmp_path


def test_an_extra_is_installed_when_all_that_it_needs_is(site: Path) -> None:
    """Versions and markers are the installer's business."""
    install(site, "surely-there")
    install(site, "there_too")
    install(
        site,
        DISTRIBUTION,
        "pydantic>=2",
        "surely-there>=1.0; extra == 'telemetry'",
        'there_too[more]<2 ; (python_version > "3") and extra == "telemetry"',
    )

    assert extra_is_installed("telemetry")


def test_an_extra_is_not_installed_when_a_part_of_it_is_missing(site: Path) -> None:
    """Half of it is of no use."""
    install(site, "surely-there")
    install(site, DISTRIBUTION, "surely-there; extra == 'telemetry'", "missing; extra == 'telemetry'")

    assert not extra_is_installed("telemetry")


def test_what_other_extras_need_does_not_count(site: Path) -> None:
    """Nor what is always needed."""
    install(site, DISTRIBUTION, "missing", "absent; extra == 'kafka'", "gone; extra == 'telemetry-more'")

    assert extra_is_installed("telemetry")


def test_without_the_distribution_nothing_can_be_told(site: Path) -> None:
    """A source tree that is not installed has no extras."""
    assert not extra_is_installed("telemetry")


@pytest.mark.parametrize("installed", [False, True])
def test_the_module_attribute_tells_what_is_installed_when_it_is_asked(site: Path, installed: bool) -> None:
    """It is no constant that was found out at import."""
    install(site, DISTRIBUTION, "opentelemetry-api; extra == 'telemetry'")
    if installed:
        install(site, "opentelemetry-api")

    assert observability.OTEL_AVAILABLE is installed


def test_the_module_attribute_is_lazy() -> None:
    """Importing the package asks for nothing."""
    assert "OTEL_AVAILABLE" not in vars(observability)
    assert "OTEL_AVAILABLE" in observability.__all__


def test_the_package_does_not_invent_attributes() -> None:
    """Any other name is an error."""
    with pytest.raises(AttributeError, match=r"'eventsource.observability' has no attribute 'OTEL_AVALABLE'"):
        observability.OTEL_AVALABLE  # noqa: B018 - the access is the test
