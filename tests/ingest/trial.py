"""From a source, through its staging models, to every expression that it gives to the conformed layer, without dbt."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from cdp.settings import PROJECT_ROOT, Settings
from cdp.sources import Source, one_source
from cdp.warehouse import writer_lock, writing
from dbt_declarations.conformed import load_shapes
from ingest.pipeline import run_source

DBT = PROJECT_ROOT / "dbt_project"
Rows = list[tuple[Any, ...]]


class Trial:
    """A warehouse of its own with the declarations as they ship."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.landing = settings.landing_path

    def drop(self, name: str, content: str, encoding: str = "utf-8") -> None:
        path = self.landing / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding=encoding)

    def declared(self, name: str) -> Source:
        return one_source(name, self.settings).value

    def load(self, source: str | Source) -> dict[str, int]:
        """Rows by table; by name as it ships, or changed by the test."""
        with writer_lock(self.settings, timeout=10):
            return dict(run_source(self.declared(source) if isinstance(source, str) else source, self.settings).rows)

    def asking(self, source: Source, table: str, **endpoint: Any) -> Source:
        """The source with other keys in a table's endpoint."""
        changed = source.tables[table].model_copy(update={"endpoint": (source.tables[table].endpoint or {}) | endpoint})
        return source.model_copy(update={"tables": source.tables | {table: changed}})

    def conformed(self, name: str) -> dict[str, Rows]:
        """Shape (or `identifiers`, `attributes`) -> rows of what the source's staging models give it."""
        found: dict[str, Rows] = {}
        shapes = load_shapes(self.settings).value.shapes
        with writing(self.settings) as con:
            con.execute("create schema if not exists staging")
            con.execute(
                "create or replace view staging.stg_reference__currency_rate as select 'JPY' as currency, 0 as minor_units"
            )
            for path in sorted((DBT / "models" / "staging" / name).glob("*.sql")):
                con.execute(f"create or replace view staging.{path.stem} as {_rendered(path)}")
            for provides in one_source(name, self.settings).value.conformed:
                where = f"where {provides.when}" if provides.when else ""
                con.execute(f"select record_id, sequence, observed_at from staging.{provides.model}").fetchall()
                asked = {**provides.shapes(), "identifiers": provides.identifiers, "attributes": provides.attributes}
                for shape, columns in asked.items():
                    if columns:
                        types = shapes[shape].columns if shape in shapes else {}
                        listed = ", ".join(
                            f"({e})::{types[c].type if c in types else 'varchar'}" for c, e in columns.items()
                        )
                        rows = con.execute(
                            f"select {listed} from staging.{provides.model} {where} order by all"
                        ).fetchall()
                        found.setdefault(shape, []).extend(rows)
        return found


def _rendered(path: Path) -> str:
    text = re.sub(r"\{\{ config\(.*?\) \}\}", "", path.read_text(encoding="utf-8"))
    text = re.sub(r"\{\{ source\('raw', '(\w+)'\) \}\}", r"raw.\1", text)
    return re.sub(r"\{\{ ref\('(\w+)'\) \}\}", r"staging.\1", text)
