"""Imported by the process that `tests.dbt` forks from: dbt, the adapter, and what both make of their classes at first use."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from dbt.adapters.duckdb import connections, impl  # noqa: F401
from dbt.cli.main import dbtRunner

from cdp.settings import get_settings

PROJECT = {
    "dbt_project.yml": "name: warm\nversion: '1.0'\nprofile: warm\nflags: {send_anonymous_usage_stats: false}\n",
    "profiles.yml": "warm:\n  target: duckdb\n  outputs:\n    duckdb: {type: duckdb, path: ':memory:', threads: 1}\n",
    "seeds/s.csv": "a\n1\n",
    "macros/m.sql": "{% macro m() %}1{% endmacro %}",
    "models/one.sql": "{{ config(materialized='incremental', on_schema_change='fail') }} select 1 as a, {{ m() }} as b from {{ ref('s') }}",
    "models/one.yml": "models: [{name: one, description: d, config: {contract: {enforced: true}}, columns: [{name: a, data_type: int, "
    "data_tests: [not_null]}, {name: b, data_type: int}]}]\nunit_tests: [{name: u, model: one, given: [{input: ref('s'), "
    "rows: [{a: 1}]}], expect: {rows: [{a: 1, b: 1}]}}]\n",
}


def _warm() -> None:
    with tempfile.TemporaryDirectory() as folder:
        for name, text in PROJECT.items():
            path = Path(folder) / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
        here = Path.cwd()
        os.chdir(folder)
        for _ in range(2):  # the second time it reads what it has parsed
            # the static parser has threads, which a fork would miss and wait for; nothing is executed for the same reason
            result = dbtRunner().invoke(["--quiet", "--no-static-parser", "--log-level-file", "none", "parse"])
            assert result.success, result.exception
        os.chdir(here)
    get_settings.cache_clear()


_warm()
