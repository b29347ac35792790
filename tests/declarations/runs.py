"""Runs models that add to themselves without starting dbt: its templates rendered here, its delete+insert done here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import jinja2

from tests.declarations.scratch import in_order, runnable

PROJECT = Path(__file__).resolve().parents[2] / "dbt_project"
MACROS = ("history.sql", "history_told.sql", "engine/compression.sql", "engine/hash.sql")


@dataclass
class Adapter:
    """Says which of the macros of a name is that of DuckDB, and which tables there are, as dbt's adapter does."""

    macros: Callable[[], Any]
    con: duckdb.DuckDBPyConnection

    def get_relation(self, database: str, schema: str, identifier: str) -> str | None:
        """The name of a table that is there."""
        found = self.con.execute("select 1 from duckdb_tables() where table_name = ?", [identifier]).fetchall()
        return f'"{identifier}"' if found else None

    def dispatch(self, name: str) -> Any:
        """The macro."""
        return getattr(self.macros(), f"duckdb__{name}")


class This(str):
    """The model's table, as its name in SQL."""

    database = schema = "main"


@dataclass
class History:
    """One incremental model in a warehouse; `run` does what dbt-duckdb does for it at an as_of."""

    con: duckdb.DuckDBPyConnection
    path: str
    sql: str = ""  # of a generated model; `path` is then its name
    config: dict[str, Any] = field(default_factory=dict)

    @property
    def table(self) -> str:
        """Name of the model's table."""
        return Path(self.path).stem

    def run(self, as_of: str) -> None:
        """Hooks, then the select, then rows of the same key are replaced."""
        exists = bool(self.con.execute("select 1 from duckdb_tables() where table_name = ?", [self.table]).fetchall())
        globals_: dict[str, Any] = {
            "ref": lambda name: f'"{name}"',
            "as_of": lambda: f"(timestamp '{as_of}')",
            "is_incremental": lambda: exists,
            "this": This(f'"{self.table}"'),
            "execute": True,
            "var": lambda _, default: default,
            "config": lambda **given: self.config.update(given) or "",
            "return": lambda value: value,
            "adapter": Adapter(lambda: macros, self.con),
        }
        environment = jinja2.Environment(undefined=jinja2.StrictUndefined)  # noqa: S701  (SQL, not HTML)
        environment.globals.update(globals_)
        texts = [(PROJECT / "macros" / path).read_text(encoding="utf-8") for path in MACROS]
        macros = environment.from_string("\n".join(texts)).module
        environment.globals.update({n: m for n, m in vars(macros).items() if callable(m)})
        text = self.sql or (PROJECT / self.path).read_text(encoding="utf-8")
        select = environment.from_string(text).render()
        if self.config["materialized"] == "view":
            self.con.execute(f'create or replace view "{self.table}" as {select}')
            return
        hooks = self.config.get("pre_hook", ())
        for hook in [hooks] if isinstance(hooks, str) else hooks:
            statement = environment.from_string(hook).render().strip()
            if statement:
                self.con.execute(statement)
        if not exists:
            self.con.execute(f'create table "{self.table}" as {select}')
            self._after(environment)
            return
        self.con.execute(f"create or replace temp table fresh as {select}")
        keys = self.config.get("unique_key", ())
        key = keys if isinstance(keys, str) else ", ".join(keys)
        if key:
            self.con.execute(f'delete from "{self.table}" where ({key}) in (select ({key}) from fresh)')
        self.con.execute(f'insert into "{self.table}" by name select * from fresh')
        self._after(environment)

    def _after(self, environment: jinja2.Environment) -> None:
        if "post_hook" in self.config:
            self.con.execute(environment.from_string(self.config["post_hook"]).render())


def run(con: duckdb.DuckDBPyConnection, models: dict[str, str], as_of: str) -> None:
    """All generated models as a run at as_of makes them: tables, views, and what is kept from the run before."""
    for name in in_order(models):
        if "is_incremental" in models[name]:
            History(con, name, models[name]).run(as_of)
            continue
        kind = "view" if "materialized='view'" in models[name] else "table"
        loosely = "pack(strings=false" in models[name]
        con.execute(f"set disabled_compression_methods = '{'fsst,dict_fsst,zstd,bitpacking' if loosely else ''}'")
        con.execute(f'create or replace {kind} "{name}" as {runnable(models[name], as_of)}')
        con.execute("set disabled_compression_methods = ''")
