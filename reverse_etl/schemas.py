"""JSON Schemas of syncs and destinations for editors; `python -m reverse_etl.schemas` writes them to docs/schemas."""

from __future__ import annotations

import json
from pathlib import Path

from cdp.declarations import json_schema
from cdp.settings import PROJECT_ROOT
from reverse_etl.declaration import Sync
from reverse_etl.destination_spec import DestinationSpec


def schemas() -> dict[str, str]:
    """File name -> text. The short forms that validators accept (one key, a field as its column) are added by hand."""
    sync = json_schema(Sync, "Tributary sync")
    properties = sync["properties"]
    properties["key"] = {"anyOf": [{"type": "string"}, properties["key"]]}
    fields = properties["fields"]
    fields["patternProperties"] = {
        pattern: {"anyOf": [{"type": "string"}, long_form]}
        for pattern, long_form in fields["patternProperties"].items()
    }
    destination = json_schema(DestinationSpec, "Tributary destination")
    return {
        f"{name}.json": json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
        for name, schema in (("sync", sync), ("destination", destination))
    }


def write(folder: Path) -> None:
    """Write the files."""
    for name, text in schemas().items():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write(PROJECT_ROOT / "docs" / "schemas")
