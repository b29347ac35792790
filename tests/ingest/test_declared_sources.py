"""The sources as they ship."""

from __future__ import annotations

from cdp.settings import PROJECT_ROOT, Settings
from cdp.sources import all_sources, raw_table
from ingest.schemas import schemas


def test_schema_for_editors_is_up_to_date() -> None:
    for name, text in schemas().items():
        path = PROJECT_ROOT / "docs" / "schemas" / name
        assert path.read_text(encoding="utf-8") == text, "run `cdp declarations schema`"


def test_every_source_can_be_loaded_and_has_tables_of_its_own() -> None:
    """Names of raw tables join source and table: two sources must not mean the same one."""
    sources = all_sources(Settings())
    names = [raw_table(name, table) for name, document in sources.items() for table in document.value.tables]
    assert len(set(names)) == len(names) > 20
    for name, document in sources.items():
        first = document.path.read_text(encoding="utf-8").splitlines()[0]
        assert first == "# yaml-language-server: $schema=../../docs/schemas/source.json", name
        if document.value.kind == "python":
            assert document.path.with_suffix(".py").exists()
