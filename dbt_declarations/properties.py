"""The YAML beside generated models, written in one way."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import yaml

# libyaml's where it is built in, as in cdp/declarations.py: a tenth of the time
Dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
HEADER = "# Generated from declarations by dbt_declarations on every dbt run; do not edit.\n"


def properties_file(models: Iterable[dict[str, Any]]) -> str:
    """dbt's properties of models. A column's `unique` and `not_null` become one test of the whole row, `grain`
    (dbt_project/macros/grain.sql), which scans once."""
    document = {"version": 2, "models": [_with_grain(model) for model in models]}
    return HEADER + yaml.dump(document, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=120)


def _with_grain(model: dict[str, Any]) -> dict[str, Any]:
    columns = [dict(column) for column in model.get("columns", [])]
    unique = [c["name"] for c in columns if "unique" in c.get("data_tests", ())]
    filled = [c["name"] for c in columns if "not_null" in c.get("data_tests", ()) and c["name"] not in unique[:1]]
    for column in columns:
        # a second key of a row keeps its own test
        taken = ("not_null",) if column["name"] in unique[1:] else ("unique", "not_null")
        if left := [test for test in column.pop("data_tests", []) if test not in taken]:
            column["data_tests"] = left
    if not (unique or filled):
        return model
    arguments = ({"key": unique[0]} if unique else {}) | ({"filled": filled} if filled else {})
    grain = {"name": f"{model['name']}_grain", "test_name": "grain", "arguments": arguments}
    rest = {k: v for k, v in model.items() if k not in ("columns", "data_tests")}
    return {**rest, "data_tests": [grain, *model.get("data_tests", [])], "columns": columns}
