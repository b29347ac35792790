"""A small project of its own: two sources, two models, suites as each test writes them, and a real DuckDB file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from cdp.settings import Settings

SOURCE = """
name: till
description: Receipts of one till.
owner: retail@example.org
kind: file_drop
tables:
  receipts:
    description: One receipt.
    files: till/*.csv
    format: csv
    required: [receipt_no]
    columns:
      receipt_no: text
      email: {type: text, pii: email}
      phone_number: {type: bigint, pii: phone}
      amount: double
      sold_at: timestamp
      note: text
"""
ASLEEP = SOURCE.replace("name: till", "name: asleep").replace("kind:", "active: false\nkind:")
MODEL = """
models:
  - name: person
    config: {contract: {enforced: true}}
    columns:
      - {name: person_id, data_type: varchar}
      - {name: email, data_type: varchar}
      - {name: secret_number, data_type: bigint, meta: {pii: identifier}}
      - {name: seen_at, data_type: timestamp}
  - name: loose
    columns:
      - {name: person_id, data_type: varchar}
"""


class Project:
    """The folder of a project, with what the tests do to it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.settings = Settings(project_root=root, data_dir=root / "data", sources="")
        self.file("ingest/sources/till.yml", SOURCE)
        self.file("ingest/sources/asleep.yml", ASLEEP)
        self.file("dbt_project/models/profiles/person.yml", MODEL)
        for model in ("person", "loose"):
            self.file(f"dbt_project/models/profiles/{model}.sql", "select 1")

    def file(self, path: str, text: str) -> Path:
        """Write a file of the project."""
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
        return target

    def suite(self, table: str, expectations: str) -> Path:
        """Write the suite of `<schema>.<table>`; each expectation gets a why and a fix unless it has them."""
        schema, name = table.split(".")
        lines = []
        for block in expectations.strip("\n").split("\n- "):
            block = block.removeprefix("- ")
            lines.append("  - " + block.strip("\n").replace("\n", "\n  "))
            lines += [f"    {key}: because" for key in ("why", "fix") if f"{key}:" not in block]
        head = f"table: {name}\nowner: o@example.org\ndescription: d\nexpectations:\n"
        return self.file(f"expectations/{schema}/{name}.yml", head + "\n".join(lines) + "\n")

    def warehouse(self, *statements: str) -> None:
        """Run statements on the warehouse's file, and close it."""
        self.settings.warehouse_path.parent.mkdir(parents=True, exist_ok=True)
        with duckdb.connect(str(self.settings.warehouse_path)) as con:
            for statement in statements:
                con.execute(statement)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """An empty project."""
    return Project(tmp_path)


@pytest.fixture
def receipts(project: Project) -> Callable[[], Project]:
    """The project with the table raw.till__receipts: 10 receipts, the last two without e-mail, one repeated number."""

    def build() -> Project:
        project.warehouse(
            "create schema raw",
            """create table raw.till__receipts as
            select 'r' || (i % 9) as receipt_no, case when i < 8 then 'zoe.secret' || i || '@example.org' end as email,
              8613900000000 + i as phone_number, 10.5 * i as amount,
              timestamptz '2026-01-01 00:00:00+00' + to_days(i::int) as sold_at, 'said: zoe.secret' || i as note,
              i as _cdp_sequence
            from range(10) as n(i)""",
        )
        return project

    return build
