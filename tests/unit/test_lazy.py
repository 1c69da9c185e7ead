"""Names that are imported when they are first asked for."""

import sys
from pathlib import Path

import pytest

import eventsource
from eventsource import snapshots, stores
from eventsource.lazy import lazy_names


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the name of a module that can be imported and has not been."""
    name = f"home_{tmp_path.name}".replace("-", "_")
    (tmp_path / f"{name}.py").write_text("ANSWER = [42]\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, name, raising=False)
    return name


def test_a_name_is_found_in_its_home(home: str) -> None:
    """It is the very object."""
    answer = lazy_names("package", {"ANSWER": home})("ANSWER")

    assert answer is sys.modules[home].ANSWER


def test_nothing_is_imported_before_it_is_asked_for(home: str) -> None:
    """Declaring costs nothing."""
    lazy_names("package", {"ANSWER": home})

    assert home not in sys.modules


def test_any_other_name_is_an_attribute_error(home: str) -> None:
    """Hasattr and from-imports work as they do for every module."""
    resolve = lazy_names("package", {"ANSWER": home})

    with pytest.raises(AttributeError, match="module 'package' has no attribute 'QUESTION'"):
        resolve("QUESTION")


@pytest.mark.parametrize("module", [eventsource, stores, snapshots], ids=lambda module: module.__name__)
def test_every_public_name_of_a_package_can_be_imported(module: object) -> None:
    """What __all__ promises, lazily or not, is there."""
    names = module.__all__  # type: ignore[attr-defined]

    assert [name for name in names if not hasattr(module, name)] == []


@pytest.mark.parametrize("module", [eventsource, stores, snapshots], ids=lambda module: module.__name__)
def test_a_package_does_not_invent_names(module: object) -> None:
    """A typing error is not taken for a lazy name."""
    assert not hasattr(module, "SQLiteEventShop")
