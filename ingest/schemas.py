"""The JSON Schemas of sources and of the collector's inputs, for editors (`# yaml-language-server: $schema=...`)."""

from __future__ import annotations

import json
from typing import get_args

from cdp.declarations import json_schema
from cdp.sources import ColumnType, Source
from ingest.collector.declaration import Input


def schemas() -> dict[str, str]:
    """File name -> text. The short form of a column (`name: type`) is added by hand."""
    schema = json_schema(Source, "Tributary source")
    columns = schema["$defs"]["Table"]["properties"]["columns"]
    columns["additionalProperties"] = {"anyOf": [{"enum": list(get_args(ColumnType))}, columns["additionalProperties"]]}
    found = {"source.json": schema, "collector_input.json": json_schema(Input, "Tributary collector input")}
    return {name: json.dumps(text, indent=2, ensure_ascii=False) + "\n" for name, text in found.items()}
