"""The plan in the forms that others want."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable
from pathlib import Path

from cdp.tracking_plan import Plan
from ingest.tracking_plan import dictionary
from ingest.tracking_plan.schemas import event_schemas
from ingest.tracking_plan.stub import python_stub

FORMS = ("markdown", "html", "xlsx", "csv", "jsonschema", "python", "json")


def write(plan: Plan, form: str, out: Path) -> list[Path]:
    """Write a form; the paths written. Raises OSError."""
    if form == "jsonschema":
        out.mkdir(parents=True, exist_ok=True)
        return [_text(out / name, text) for name, text in event_schemas(plan).items()]
    out.parent.mkdir(parents=True, exist_ok=True)
    if form == "xlsx":
        dictionary.workbook(plan, out)
        return [out]
    if form == "csv":
        events = [e for _, e in sorted(plan.events.items(), key=lambda item: item[1].name)]
        beside = out.with_suffix(".properties.csv")
        _rows(out, dictionary.headings(dictionary.EVENT_HEADINGS), (dictionary.event_row(e) for e in events))
        rows = (row for e in events for row in dictionary.property_rows(e))
        _rows(beside, dictionary.headings(dictionary.PROPERTY_HEADINGS), rows)
        return [out, beside]
    makers = {"markdown": dictionary.markdown, "html": dictionary.web_page, "python": python_stub, "json": _json}
    return [_text(out, makers[form](plan))]


def _json(plan: Plan) -> str:
    said = {
        "plan": plan.settings.model_dump(exclude_defaults=True),
        "events": [e.model_dump(exclude_defaults=True) for _, e in sorted(plan.events.items())],
    }
    return json.dumps(said, indent=2, ensure_ascii=False) + "\n"


def _rows(path: Path, heads: list[str], rows: Iterable[list[str]]) -> None:
    with path.open("w", encoding="utf-8-sig", newline="") as file:  # with a BOM, by which Excel knows UTF-8
        csv.writer(file).writerows([heads, *rows])


def _text(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path
