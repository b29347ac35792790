"""The README and the pages below docs/: recipes work, links lead somewhere, nothing private is in them."""

from __future__ import annotations

import re
import shutil
import struct
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from cdp.declarations import load_folder
from cdp.errors import DeclarationError
from cdp.settings import PROJECT_ROOT, Settings
from cdp.sources import active_sources
from dbt_declarations.compiler import compile_all
from expectations.runner import suites
from reverse_etl.catalog import resolve
from reverse_etl.declaration import Sync
from tests.docs.recipes import Recipe, recipes

README = (PROJECT_ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [PROJECT_ROOT / "README.md", PROJECT_ROOT / "CONTRIBUTING.md", *sorted((PROJECT_ROOT / "docs").glob("*.md"))]
RECIPES = {recipe.title: recipe for recipe in recipes(README)}
COPIED = ("ingest/sources", "dbt_project", "expectations", "reverse_etl/syncs")


@pytest.fixture
def project(tmp_path: Path) -> Settings:
    """A copy of the declarations and models of this project, as it was before anybody followed the README."""
    ignored = shutil.ignore_patterns("target", "logs", "generated", "__pycache__")
    for folder in COPIED:
        shutil.copytree(PROJECT_ROOT / folder, tmp_path / folder, ignore=ignored)
    for recipe in RECIPES.values():
        recipe.undo(tmp_path)
    return Settings(project_root=tmp_path, data_dir=tmp_path / ".cdp", sources="")


def test_there_are_five_recipes_and_each_says_what_to_write_and_to_run() -> None:
    assert list(RECIPES) == ["Add a source", "Add a tag", "Add a segment", "Add a score rule", "Add a sync"]
    for recipe in RECIPES.values():
        assert recipe.shell and (recipe.files or recipe.rules), recipe.title
        assert any(line.startswith("cdp ") for line in recipe.shell), recipe.title


def generated(project: Settings) -> str:
    return "\n".join(text for _, text in sorted(compile_all(project).items()))


def test_the_declared_recipes_compile_and_reach_the_models(project: Settings) -> None:
    expected = {
        "Add a source": "stg_webinars__attendance",
        "Add a tag": "webinar_registrations_365d",
        "Add a segment": "'promoters'",
        "Add a score rule": "registered_for_webinar",
    }
    before = generated(project)
    for title, word in expected.items():
        assert word not in before, title
        RECIPES[title].write(project.project_root)
    after = generated(project)
    for title, word in expected.items():
        assert word in after, title


def test_a_misspelt_recipe_is_refused(project: Settings) -> None:
    """The checks above can fail: the compiler looks at what the recipes wrote."""
    RECIPES["Add a tag"].write(project.project_root)
    path = project.project_root / "dbt_project/tags/webinar_registrations_365d.yml"
    path.write_text(path.read_text(encoding="utf-8").replace("event_name", "event_nam"), encoding="utf-8")
    with pytest.raises(DeclarationError, match="event_nam"):
        compile_all(project)


def test_the_source_recipe_brings_a_suite_for_its_table(project: Settings) -> None:
    RECIPES["Add a source"].write(project.project_root)
    assert "webinars" in active_sources(project)
    assert "raw.webinars__attendance" in {suite.name for suite in suites(project)}


def test_the_sync_recipe_resolves_and_writes_a_file_of_its_own(project: Settings) -> None:
    RECIPES["Add a sync"].write(project.project_root)
    assert resolve("newsletter_file", project).sync.consent_purpose == "marketing_email"
    options = [d.value.options for d in load_folder(project.project_root / "reverse_etl/syncs", Sync)]
    files = [(o["folder"], o["file"]) for o in options if "file" in o]
    assert len(files) == len(set(files)) >= 2


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_to_files(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_pages_hold_no_place_of_one_machine(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert not re.findall(r"(?<![\w.>])/(?:work|tmp|root|home|Users)/\S*", text)
    assert "@@" not in text


def test_the_make_targets_of_the_readme_exist() -> None:
    targets = set(re.findall(r"^(\w+):", (PROJECT_ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = set(re.findall(r"(?:^|`)make (\w+)", "\n".join(p.read_text(encoding="utf-8") for p in PAGES), re.MULTILINE))
    assert {"run", "test", "ui"} <= named <= targets


def test_pictures_can_be_shown() -> None:
    images = PROJECT_ROOT / "docs" / "images"
    ElementTree.parse(images / "flow.svg")  # noqa: S314 - a file of this repository
    pictures = sorted(images.glob("*.png"))
    assert pictures
    for picture in pictures:
        head = picture.read_bytes()[:24]
        assert head[:8] == b"\x89PNG\r\n\x1a\n"
        width, height = struct.unpack(">II", head[16:24])
        assert width >= 700 and height >= 200, picture.name
        assert picture.stat().st_size < 400_000, picture.name


def test_the_reader_of_recipes_finds_rules_files_and_commands() -> None:
    text = (
        "\n## Five recipes\n\n### One\n\n`a/b.yml`:\n\n```yaml\nx: 1\n```\n\nIn `c.yml`, below `rules:`\n\n```yaml\n"
        "  - y\n```\n\n```sh\nrun it\n```\n\n## End\n"
    )
    expected = Recipe("One", {"a/b.yml": "x: 1\n"}, {"c.yml": "  - y\n"}, ["run it"])
    assert recipes(text) == [expected]
