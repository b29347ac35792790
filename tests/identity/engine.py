"""dbt's own SQL of identity on a database in memory, rendered without dbt's seconds of start: models, macros and hooks as they are."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import duckdb
import jinja2
import yaml

from cdp.duckdb_functions import register
from cdp.settings import PROJECT_ROOT, Settings
from dbt_declarations.compiler import compile_all

DBT = PROJECT_ROOT / "dbt_project"
MACRO_FILES = ("as_of.sql", "engine/hash.sql", "engine/compression.sql", "engine/normalise.sql", "identity/connected_components.sql",
               "identity/reopening.sql", "identity/period_number.sql")  # fmt: skip
# in the order in which dbt builds them
MODELS = (
    "int_identity__type_numbered", "int_identity__override_keyed", "identity_reopened", "observation_reopened", "int_identity__fan_out", "identifier",
    "record_identifier", "identity_edge", "identity_component", "identity_replay", "identity_refusal", "identity_person", "person_identifier",
    "record_person", "identity_history", "identity_run", "identity_event", "identity_rule_applied", "identity_processed",
)  # fmt: skip


VARIABLES = {
    k: v
    for k, v in yaml.safe_load((DBT / "dbt_project.yml").read_text(encoding="utf-8"))["vars"].items()
    if k != "as_of"
}


class _Returned(Exception):
    def __init__(self, value: Any) -> None:
        self.value = value


class _Column:
    def __init__(self, values: list[Any]) -> None:
        self._values = values

    def values(self) -> list[Any]:
        return self._values


class _Result:
    """The part of dbt's query result that macros read."""

    def __init__(self, rows: list[tuple[Any, ...]]) -> None:
        self.columns = [_Column(list(column)) for column in zip(*rows, strict=True)]


class _Relation:
    database = schema = "main"

    def __init__(self, name: str) -> None:
        self.name = name

    def __str__(self) -> str:
        return self.name


def _return(value: Any) -> None:
    raise _Returned(value)


@lru_cache(maxsize=1)
def _macro_texts() -> tuple[str, ...]:
    """Each macro of the project that identity uses, the generated patterns included."""
    texts = [(DBT / "macros" / name).read_text(encoding="utf-8") for name in MACRO_FILES]
    texts.append(compile_all(Settings(_env_file=None))[Path("macros/generated/patterns.sql")])
    return tuple(m for text in texts for m in re.findall(r"\{% macro .*?\{%-? endmacro %\}", text, re.DOTALL))


@dataclass
class Engine:
    """One warehouse. Tables `identifier_types`, `blocked_identifiers`, `identity_overrides` and `identifier_observation` are its input."""

    threads: int = 2
    as_of: str = "2026-03-01"
    blocked: str | None = None  # SQL over __type__ and __value__ in place of the project's patterns
    path: str = ":memory:"
    con: duckdb.DuckDBPyConnection = field(init=False)
    _this: _Relation = field(default_factory=lambda: _Relation(""), init=False)
    _config: dict[str, Any] = field(default_factory=dict, init=False)
    _full: bool = field(default=False, init=False)
    _names: dict[str, Any] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        self.con = duckdb.connect(
            self.path,
            config={"threads": self.threads, "disabled_optimizers": "outer_join_simplification", "preserve_insertion_order": False},
        )  # fmt: skip
        self.con.execute("set TimeZone = 'UTC'")
        register(self.con)
        self.con.execute(
            "create table if not exists identity_match (left_key bigint, right_key bigint, model varchar, match_weight double)"
        )
        environment = jinja2.Environment(extensions=["jinja2.ext.do"], undefined=jinja2.StrictUndefined)  # noqa: S701 - SQL
        names = self._names
        names.update(
            execute=True, ref=str, this=self._this, run_query=self._query, config=self._configure, var=self._var,
            adapter=self, env_var=lambda name, default="": default, is_incremental=self._is_incremental,
            flags=self, **{"return": _return},
        )  # fmt: skip
        for text in _macro_texts():
            (name,) = re.findall(r"\{% macro (\w+)", text)
            names[name] = self._macro(environment, text, name)
        if self.blocked is not None:
            names["blocked_reason"] = lambda type, value: (
                str(self.blocked).replace("__type__", type).replace("__value__", value)
            )
        self._environment = environment

    def _macro(self, environment: jinja2.Environment, text: str, name: str) -> Callable[..., Any]:
        made: list[Any] = []

        def called(*arguments: Any, **named: Any) -> Any:
            if not made:  # a macro sees the names that are there when its module is made: by then all of them are
                made.append(getattr(environment.from_string(text, globals=self._names).make_module(), name))
            try:
                return str(made[0](*arguments, **named))
            except _Returned as returned:
                return returned.value

        return called

    # what dbt's context offers
    def dispatch(self, name: str) -> Callable[..., Any]:
        return self._names[f"duckdb__{name}"]  # type: ignore[no-any-return]

    def get_relation(self, database: str, schema: str, identifier: str) -> str | None:
        found = self.con.execute("select 1 from duckdb_tables() where table_name = ?", [identifier]).fetchall()
        return identifier if found else None

    @property
    def FULL_REFRESH(self) -> bool:
        return self._full

    def _var(self, name: str, default: Any = "") -> Any:
        return self.as_of if name == "as_of" else VARIABLES.get(name, default)

    def _query(self, sql: str) -> _Result:
        return _Result(self.con.execute(sql).fetchall())

    def _configure(self, **given: Any) -> str:
        self._config.update(given)
        return ""

    def _is_incremental(self) -> bool:
        wanted = self._config.get("materialized") == "incremental"
        full = self._full and self._config.get("full_refresh") is not False
        return wanted and not full and self.get_relation("main", "main", str(self._this)) is not None

    def render(self, text: str) -> str:
        """A text of dbt as SQL."""
        return self._environment.from_string(text, globals=self._names).render().strip()

    def build(self, name: str) -> None:
        """One model, as dbt materialises it."""
        text = (DBT / "models" / "identity" / f"{name}.sql").read_text(encoding="utf-8")
        self._this.name = name
        self._config.clear()
        sql = self.render(text)  # says its config
        kind = self._config.get("materialized", "table")
        if kind == "view":
            self.con.execute(f"create or replace view {name} as {sql}")
            return
        incremental = self._is_incremental()
        sql = self.render(text)
        self._run_hooks("pre_hook")
        self.con.execute(
            f"insert into {name} by name {sql}" if incremental else f"create or replace table {name} as {sql}"
        )
        self._run_hooks("post_hook")

    def _run_hooks(self, name: str) -> None:
        given = self._config.get(name, [])
        for hook in given if isinstance(given, list) else [given]:
            self.con.execute(self.render(str(hook)))

    def run(self, *, full_refresh: bool = False, until: str = "") -> None:
        """All models in their order; stops before `until`, as a run that was killed there."""
        self._full = full_refresh
        for name in MODELS:
            if name == until:
                return
            self.build(name)
