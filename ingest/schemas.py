"""The JSON Schema of sources, for editors (`# yaml-language-server: $schema=...`)."""

from __future__ import annotations

import json
from typing import get_args

from cdp.declarations import json_schema
from cdp.sources import ColumnType, Source


def schemas() -> dict[str, str]:
    """File name -> text. The short form of a column (`name: type`) is added by hand."""
    schema = json_schema(Source, "Tributary source")
    columns = schema["$defs"]["Table"]["properties"]["columns"]
    columns["additionalProperties"] = {"anyOf": [{"enum": list(get_args(ColumnType))}, columns["additionalProperties"]]}
    return {"source.json": json.dumps(schema, indent=2, ensure_ascii=False) + "\n"}
