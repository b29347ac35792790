"""docs/cli.md and docs/settings.md say what the code says."""

from __future__ import annotations

import importlib.util
from types import ModuleType

import pytest
import typer

from cdp.cli import app
from cdp.settings import PROJECT_ROOT, Settings

REFRESH = "write it anew: `python docs/reference.py`"


@pytest.fixture(scope="module")
def reference() -> ModuleType:
    spec = importlib.util.spec_from_file_location("reference", PROJECT_ROOT / "docs" / "reference.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def page(name: str) -> str:
    return (PROJECT_ROOT / "docs" / name).read_text(encoding="utf-8")


def test_the_pages_are_those_of_the_code(reference: ModuleType) -> None:
    assert page("settings.md") == reference.settings_page(), REFRESH
    assert page("cli.md") == reference.cli_page(), REFRESH


def test_every_setting_is_described() -> None:
    text = page("settings.md")
    rows = [line for line in text.splitlines() if line.startswith("| `CDP_")]
    for name, field in Settings.model_fields.items():
        if name == "project_root":  # where the code lies; not for users
            continue
        assert field.description and len(field.description) > 20, name
        assert any(row.startswith(f"| `CDP_{name.upper()}` |") for row in rows), REFRESH
    assert len(rows) == len(Settings.model_fields) - 1


def test_every_command_has_an_example_that_names_it(reference: ModuleType) -> None:
    text = page("cli.md")
    found = reference.commands(typer.main.get_command(app))
    assert len(found) >= 20
    for name, _ in found:
        section = text.split(f"\n## `{name}")[1].split("\n## ")[0]
        assert f"\n    {name}" in section, f"{name}: no line `Example: {name} ...` in its docstring or epilog"


def test_an_unknown_setting_type_is_not_passed_over(reference: ModuleType) -> None:
    with pytest.raises(KeyError):
        reference._type(bytes)
