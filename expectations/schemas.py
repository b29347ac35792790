"""JSON Schema of a suite for editors; `python -m expectations.schemas` writes it to docs/schemas."""

from __future__ import annotations

import json
from pathlib import Path

from cdp.declarations import json_schema
from cdp.settings import PROJECT_ROOT
from expectations.declaration import SuiteFile
from expectations.kinds import KINDS, Kind


def schemas() -> dict[str, str]:
    """File name -> text. What the validators ask of the arguments of each type is added by hand."""
    schema = json_schema(SuiteFile, "Tributary suite")
    expectation = schema["$defs"]["Expectation"]
    expectation["oneOf"] = [{"required": ["expectation"]}, {"required": ["unexpected_rows", "name"]}]
    expectation["allOf"] = [
        {
            "if": {"properties": {"expectation": {"const": name}}, "required": ["expectation"]},
            "then": {"properties": {"kwargs": _arguments(kind)}, "required": ["kwargs"] if kind.needed else []},
        }
        for name, kind in KINDS.items()
    ]
    return {"suite.json": json.dumps(schema, indent=2, ensure_ascii=False) + "\n"}


def write(folder: Path) -> None:
    """Write the file."""
    for name, text in schemas().items():
        (folder / name).write_text(text, encoding="utf-8")


def _arguments(kind: Kind) -> dict[str, object]:
    types: dict[str, object] = {key: {"type": "string"} for key in kind.columns}
    types |= {key: {"type": "array", "items": {"type": "string"}} for key in kind.column_lists}
    return {
        "type": "object",
        "properties": {argument: types.get(argument, {}) for argument in kind.arguments},
        "required": kind.needed,
        "additionalProperties": False,
    }


if __name__ == "__main__":
    write(PROJECT_ROOT / "docs" / "schemas")
