"""A dbt project that has one of each: a seed, a macro, an incremental model with a contract, a data test and a unit test."""

from __future__ import annotations

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
