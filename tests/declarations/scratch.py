"""A small dbt project in a folder of a test: contracts, declarations, and tables with the shapes of the contracts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import duckdb
import yaml

from cdp.settings import Settings
from dbt_declarations.compiler import compile_project
from dbt_declarations.project import load_project

AS_OF = "2026-03-01 00:00:00"
CONTRACTS: dict[str, dict[str, str]] = {
    "person": {
        "person_id": "varchar",
        "first_seen_at": "timestamp",
        "last_seen_at": "timestamp",
        "email": "varchar",
        "email_domain": "varchar",
        "city": "varchar",
        "country": "varchar",
        "birth_on": "date",
        "job_title": "varchar",
        "account_key": "varchar",
        "identifier_count": "bigint",
        "is_test": "boolean",
        "is_bot": "boolean",
        "can_email": "boolean",
    },
    "person_event": {
        "person_id": "varchar",
        "event_key": "varchar",
        "event_name": "varchar",
        "occurred_at": "timestamp",
        "channel": "varchar",
        "page_path": "varchar",
        "product_id": "varchar",
        "value": "double",
        "properties": "json",
    },
    "person_order": {
        "person_id": "varchar",
        "order_key": "varchar",
        "ordered_at": "timestamp",
        "channel": "varchar",
        "status": "varchar",
        "net_value": "decimal(18, 4)",
        "is_revenue": "boolean",
    },
    "person_lead": {
        "person_id": "varchar",
        "object_type": "varchar",
        "object_key": "varchar",
        "stage": "varchar",
        "created_at": "timestamp",
        "is_won": "boolean",
    },
    "person_stage_change": {
        "person_id": "varchar",
        "object_type": "varchar",
        "object_key": "varchar",
        "from_stage": "varchar",
        "to_stage": "varchar",
        "changed_at": "timestamp",
        "sequence": "bigint",
    },
    "account": {"account_key": "varchar", "industry": "varchar", "employees": "bigint", "country": "varchar"},
    "person_traits": {
        "person_id": "varchar",
        "order_count": "bigint",
        "revenue": "double",
        "last_order_at": "timestamp",
    },
    "person_rfm": {"person_id": "varchar", "r": "bigint", "f": "bigint", "m": "bigint", "rfm_class": "varchar"},
}
# Columns of tables of facts that follow from the others; whatever a test writes, they are right.
FOLLOWS = ("person", "person_event", "person_order")
PII = {("person", "email")}
# Tables that hand-written models of the real project make; tests fill what they need.
FURTHER = {
    "person_lifecycle": "person_id varchar, model varchar, stage varchar, entered_at timestamp",
    "person_score": "person_id varchar, score varchar, points double, grade varchar",
    "person_prediction": "person_id varchar, model varchar, probability double, decile bigint, expected_orders double,"
    " expected_value double, scored_as_of timestamp",
    "account_prediction": "account_key varchar, model varchar, probability double, decile bigint, scored_as_of timestamp",
    "int_tags__manual_resolved": "person_id varchar, tag varchar, value varchar, set_at timestamp, problem varchar",
}
HEAD = "owner: growth\ndescription: For a test.\n"


def write_contracts(dbt_dir: Path) -> None:
    """The contracts of the profiles, one file a model."""
    folder = dbt_dir / "models" / "profiles"
    folder.mkdir(parents=True, exist_ok=True)
    for model, columns in CONTRACTS.items():
        listed = [
            {"name": n, "data_type": t, **({"meta": {"pii": "email"}} if (model, n) in PII else {})}
            for n, t in columns.items()
        ]
        (folder / f"{model}.yml").write_text(yaml.safe_dump({"models": [{"name": model, "columns": listed}]}))


def write(dbt_dir: Path, path: str, text: str) -> Path:
    """A file; a tag, score or segment gets `name`, `owner` and `description` when its text has none."""
    target = dbt_dir / path
    target.parent.mkdir(parents=True, exist_ok=True)
    bare = path.startswith(("tags/", "scores/", "segments/")) and not re.search(r"^(-|(name|owner):)", text, re.M)
    head = f"name: {target.stem}\n{HEAD}" if bare else ""
    target.write_text(head + text, encoding="utf-8")
    return target


def compiled(dbt_dir: Path) -> dict[str, str]:
    """Generated files of the project by the name of the model (or file)."""
    files = compile_project(load_project(dbt_dir))
    return {p.stem if p.suffix == ".sql" else p.name: text for p, text in files.items()}


def settings(root: Path) -> Settings:
    """Settings of a project below a test's folder."""
    return Settings(project_root=root, data_dir=root / "data")


def runnable(sql: str, as_of: str = AS_OF) -> str:
    """The SQL of a generated model as DuckDB runs it for the first time, without dbt."""
    sql = re.sub(r"\{\{ config\(.*?\) \}\}\n", "", sql)
    sql = re.sub(r"\{% if is_incremental\(\) %\}[^%]*?\{% endif %\}", "", sql)
    sql = re.sub(r"\{% if is_incremental\(\) %\}.*?\{% else %\}(.*?)\{% endif %\}", r"\1", sql, flags=re.S)
    sql = re.sub(r"\{\{ ref\('(\w+)'\) \}\}", r'"\1"', sql)
    sql = re.sub(r"\{\{ written_at\([^)]*\) \}\}", "{{ as_of() }}", sql)
    return sql.replace("{{ as_of() }}", f"(timestamp '{as_of}')")


def warehouse(threads: int = 2, path: Path | str = ":memory:") -> duckdb.DuckDBPyConnection:
    """An empty warehouse, in memory by default, with the tables of the contracts."""
    connection = duckdb.connect(str(path), config={"threads": threads})
    for model, columns in CONTRACTS.items():
        listed = ", ".join(f'"{n}" {t}' for n, t in columns.items())
        if model in FOLLOWS:
            listed += ", person_number ubigint as (md5_number_lower(person_id)) virtual"
        if model in FOLLOWS[1:]:
            listed += f", row_digest ubigint as (hash({', '.join(columns)})) virtual"
        connection.execute(f"create table {model} ({listed})")
    for model, columns in FURTHER.items():
        connection.execute(f"create table {model} ({columns})")
    return connection


def build(
    connection: duckdb.DuckDBPyConnection, models: dict[str, str], as_of: str = AS_OF, *, views: bool = False
) -> None:
    """Create every generated model as a table (or as the view it is declared to be), in the order of their references."""
    for name in in_order(models):
        kind = "view" if views and "materialized='view'" in models[name] else "table"
        connection.execute(f'create or replace {kind} "{name}" as {runnable(models[name], as_of)}')


def in_order(models: dict[str, str]) -> Iterator[str]:
    """Names of generated models in the order of their references."""
    pending = {n: runnable(s) for n, s in models.items() if not n.endswith(".yml")}
    while pending:
        ready = [
            n for n, s in pending.items() if not any(f'"{o}"' in s.replace(f'as "{o}"', "") for o in pending if o != n)
        ]
        assert ready, f"models that wait for each other: {sorted(pending)}"
        yield from ready
        pending = {n: s for n, s in pending.items() if n not in ready}
