"""The worked example of docs/destinations.md does what it says: its files are written as they stand there, and its tests run."""

from __future__ import annotations

import inspect
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import demo.emulators.destinations
import reverse_etl.destinations
from cdp.settings import PROJECT_ROOT
from reverse_etl import catalog
from tests.docs.recipes import Recipe, recipe_of
from tests.reverse_etl.destinations import test_whole

PAGE = (PROJECT_ROOT / "docs" / "destinations.md").read_text(encoding="utf-8")
NAME = "loyalty"


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Recipe]:
    """The example written into a folder of its own, and found there beside the destinations of the project."""
    found = recipe_of(PAGE.split("\n## ")[-1])
    assert found.title == "Write one"
    found.write(tmp_path)
    for package, folder in (
        (reverse_etl.destinations, "reverse_etl/destinations"),
        (demo.emulators.destinations, "demo/emulators/destinations"),
    ):
        monkeypatch.setattr(package, "__path__", [*package.__path__, str(tmp_path / folder)])
    monkeypatch.setattr(catalog, "DESTINATIONS", tmp_path / "reverse_etl" / "destinations")
    yield found
    for module in [name for name in sys.modules if f"destinations.{NAME}" in name]:
        del sys.modules[module]
    monkeypatch.delattr(demo.emulators.destinations, NAME, raising=False)


def test_the_example_is_whole_and_its_tests_pass(recipe: Recipe, tmp_path: Path) -> None:
    assert catalog.destination_names() == [NAME]
    test_whole.test_a_destination_has_what_its_spec_promises(NAME)
    (test_file,) = [path for path in recipe.files if "/test_" in path]
    assert recipe.shell == [f"pytest {test_file} tests/reverse_etl/destinations/test_whole.py"]
    tests = {
        name: function
        for name, function in runpy.run_path(str(tmp_path / test_file)).items()
        if name.startswith("test_") and inspect.isfunction(function)
    }
    assert len(tests) == 3
    for name, function in tests.items():
        folder = tmp_path / name
        folder.mkdir()
        function(folder)
