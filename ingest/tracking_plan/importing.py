"""Plans from elsewhere: the workbook or CSV files that `export` writes, and the JSON plans of Segment and RudderStack.

JSON: Segment's Public API (`rules` with `key`, `type`, `jsonSchema`), its older Config API (`rules.events` with `name`,
`rules`) and RudderStack's tracking plans (`events` with `name`, `eventType`, `rules`). All hold a JSON Schema of the whole
call; its `properties` (or `traits`) is what is taken. What a plan of ours cannot say is told, not left out in silence.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from cdp.errors import DeclarationError
from cdp.tracking_plan import CALL_NAMES, Event, Property

_LISTS = {"sources", "where", "call_names"}
_TYPES = {"string", "integer", "number", "boolean", "object", "array"}
_KNOWN = {
    "type", "description", "enum", "pattern", "minimum", "maximum", "maxLength", "items", "properties", "required", "id", "$id",
    "$schema", "title", "examples", "example", "format", "additionalProperties", "labels",
}  # fmt: skip


@dataclass
class Imported:
    """`notes`: what could not be taken over, by place."""

    events: list[Event] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def read_plan(path: Path, *, owner: str, sources: list[str]) -> Imported:
    """Read a plan by its suffix: .xlsx, .csv (with `<name>.properties.csv` beside it) or .json. Raises DeclarationError."""
    if not path.exists():
        raise DeclarationError("the file does not exist", where=str(path))
    defaults = {"owner": owner, "sources": sources}
    try:
        if path.suffix == ".xlsx":
            return _from_rows(*_workbook(path), defaults, path)
        if path.suffix == ".csv":
            return _from_rows(_csv(path), _csv(path.with_suffix(".properties.csv")), defaults, path)
        if path.suffix == ".json":
            return _from_json(json.loads(path.read_text(encoding="utf-8-sig")), defaults, path)
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise DeclarationError(f"cannot be read: {type(error).__name__}", where=str(path)) from None
    raise DeclarationError(f'cannot read "{path.suffix}"', where=str(path), expected=".xlsx, .csv or .json")


def _workbook(path: Path) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    from openpyxl import load_workbook

    book = load_workbook(path, read_only=True, data_only=True)
    sheets = [
        [["" if c is None else str(c) for c in row] for row in sheet.iter_rows(values_only=True)] for sheet in book
    ]
    book.close()
    if len(sheets) < 2:
        raise DeclarationError("has no sheet of properties", where=str(path), expected="two sheets: events, properties")
    return _named(sheets[0]), _named(sheets[1])


def _csv(path: Path) -> list[dict[str, str]]:
    if not path.exists():
        return []
    with path.open(encoding="utf-8-sig", newline="") as file:
        return _named(list(csv.reader(file)))


def _named(rows: list[list[str]]) -> list[dict[str, str]]:
    """Rows by the first word of each heading; `中文名` is label_zh."""
    if not rows:
        return []
    heads = [{"中文名": "label_zh"}.get(h.split()[0], h.split()[0]) if h.strip() else "" for h in rows[0]]
    return [dict(zip(heads, row, strict=False)) for row in rows[1:] if any(cell.strip() for cell in row)]


def _from_rows(
    events: list[dict[str, str]], properties: list[dict[str, str]], defaults: dict[str, Any], path: Path
) -> Imported:
    found = Imported()
    for number, row in enumerate(events, 2):
        said: dict[str, Any] = {k: v for k, v in row.items() if v and k != "event"}
        said["name"] = row.get("event", "").strip()
        for key in _LISTS & said.keys():
            said[key] = [part.strip() for part in said[key].split(",") if part.strip()]
        own = [p for p in properties if p.get("event", "").strip() == said["name"]]
        said["properties"] = _nested(own, f"{path.name}: {said['name']}")
        _add(found, {**defaults, **said}, f"{path.name}:{number}")
    names = {e.name for e in found.events}
    found.notes += [
        f"{path.name}: properties of an event that is not listed: {name}"
        for name in sorted({p.get("event", "") for p in properties} - names - {row.get("event", "") for row in events})
    ]
    return found


def _nested(rows: list[dict[str, str]], where: str) -> dict[str, Any]:
    """Properties by path put into one another: `products[].price` belongs to the items of products."""
    top: dict[str, Any] = {}
    by_path: dict[str, dict[str, Any]] = {}
    for row in rows:
        path = row.get("property", "").strip()
        spec = _cells(row, f"{where}.{path}")
        by_path[path] = spec
        if path.endswith("[]"):
            _parent(by_path, path[:-2], where)["items"] = spec
        elif "." in path:
            parent, name = path.rsplit(".", 1)
            _parent(by_path, parent, where).setdefault("properties", {})[name] = spec
        else:
            top[path] = spec
    return top


def _parent(by_path: dict[str, dict[str, Any]], path: str, where: str) -> dict[str, Any]:
    if path not in by_path:
        raise DeclarationError(f'"{path}" is missing', where=where, expected="a row for it, above what is inside it")
    return by_path[path]


def _cells(row: dict[str, str], where: str) -> dict[str, Any]:
    said: dict[str, Any] = {k: v.strip() for k, v in row.items() if v.strip() and k not in ("event", "property", "")}
    said["required"] = said.get("required", "").lower() in ("yes", "true", "1", "是", "必填", "x")
    for key in ("values", "example"):
        if key in said:
            try:
                said[key] = json.loads(said[key])
            except ValueError:
                said[key] = [v.strip() for v in said[key].split(",")] if key == "values" else said[key]
    for key in ("min", "max", "max_length"):
        if key in said:
            try:
                said[key] = float(said[key]) if key != "max_length" else int(float(said[key]))
            except ValueError:
                raise DeclarationError(f"{key} is not a number", where=where) from None
    return said


def _from_json(document: Any, defaults: dict[str, Any], path: Path) -> Imported:
    found = Imported()
    for position, (kind, name, description, version, schema) in enumerate(_calls(document)):
        where = f"{path.name}: {name or f'rule {position + 1}'}"
        if kind not in ("track", *CALL_NAMES):
            found.notes.append(f"{where}: a rule for {kind} is not taken over")
            continue
        parts = schema.get("properties", {}) if isinstance(schema, dict) else {}
        bag = parts.get("traits" if kind in ("identify", "group") else "properties")
        if bag is None and kind in ("identify", "group"):
            bag = parts.get("context", {}).get("properties", {}).get("traits")
        said = {
            "name": CALL_NAMES.get(kind, name),
            "type": kind,
            "description": description or f"Taken over from {path.name}.",
            "why": "To be said: which question does it answer?",
            "version": version,
            "properties": _properties(bag or {}, where, found.notes),
        }
        _add(found, {**defaults, **said}, where)
    if not found.events and not found.notes:
        raise DeclarationError(
            "holds no events", where=str(path), expected="a plan of Segment (rules) or RudderStack (events) as JSON"
        )
    return found


def _calls(document: Any) -> Iterable[tuple[str, str, str, int, Any]]:
    """(type of call, name, description, version, JSON Schema of the call)."""
    document = document if isinstance(document, dict) else {}
    plan: dict[str, Any] = document.get("data", document)
    plan = plan.get("trackingPlan", plan)
    rules: Any = plan.get("rules", document.get("rules"))
    if isinstance(rules, list):
        for rule in rules:
            schema = rule.get("jsonSchema") or {}
            name = str(rule.get("key") or "")
            yield (
                str(rule.get("type", "")).lower(),
                name,
                schema.get("description", ""),
                _whole(rule.get("version")),
                schema,
            )
    elif isinstance(rules, dict):
        for event in rules.get("events", []):
            said = event.get("description", "")
            yield "track", str(event.get("name", "")), said, _whole(event.get("version")), event.get("rules", {})
        for kind in ("identify", "group", "page", "screen"):
            if isinstance(schema := rules.get(f"{kind}_traits", rules.get(kind)), dict) and schema.get("properties"):
                yield kind, "", "", 1, schema
    for event in plan.get("events", []) if isinstance(plan.get("events"), list) else []:
        kind = str(event.get("eventType", "track")).lower()
        schema = event.get("rules") or event.get("schema") or {}
        yield kind, str(event.get("name", "")), event.get("description", ""), _whole(event.get("version")), schema


def _whole(version: Any) -> int:
    try:
        return max(1, int(float(version)))
    except (TypeError, ValueError):
        return 1


def _properties(schema: dict[str, Any], where: str, notes: list[str]) -> dict[str, Any]:
    required = set(schema.get("required", []))
    return {
        name: _property(spec, name in required, f"{where}.{name}", notes)
        for name, spec in (schema.get("properties") or {}).items()
    }


def _property(declared: Any, required: bool, where: str, notes: list[str]) -> dict[str, Any]:
    schema: dict[str, Any] = declared if isinstance(declared, dict) else {}
    kinds = schema.get("type", "string")
    kinds = [k for k in (kinds if isinstance(kinds, list) else [kinds]) if k != "null"]
    if len(kinds) != 1 or kinds[0] not in _TYPES:
        notes.append(f"{where}: type {kinds or 'any'} becomes string")
    kind = kinds[0] if len(kinds) == 1 and kinds[0] in _TYPES else "string"
    said: dict[str, Any] = {
        "type": {"date-time": "datetime", "date": "date"}.get(schema.get("format", ""), kind)
        if kind == "string"
        else kind,
        "description": schema.get("description") or "Taken over without a description.",
        "required": required,
    }
    ours = {"minimum": "min", "maximum": "max", "maxLength": "max_length", "pattern": "pattern"}
    said |= {ours[key]: schema[key] for key in ours if key in schema}
    if isinstance(pattern := said.get("pattern"), str):
        # JSON Schema searches, ours matches the whole text
        head, tail = "" if pattern.startswith("^") else ".*", "" if pattern.endswith("$") else ".*"
        said["pattern"] = head + pattern.removeprefix("^").removesuffix("$") + tail
    if "enum" in schema:
        said["values"] = [v for v in schema["enum"] if v is not None]
    if kind == "array" and isinstance(schema.get("items"), dict):
        said["items"] = _property(schema["items"], False, f"{where}[]", notes)
    if kind == "object":
        said["properties"] = _properties(schema, where, notes)
    notes += [f"{where}: {key} is not taken over" for key in sorted(schema.keys() - _KNOWN)]
    return said


def _add(found: Imported, said: dict[str, Any], where: str) -> None:
    """Add an event; what of it cannot be used is a note, and its property is left out of it."""
    said["description"] = said.get("description") or "Taken over without a description."
    said["why"] = said.get("why") or "To be said: which question does it answer?"
    for name in list(said.get("properties", {})):
        try:
            Property.model_validate(said["properties"][name])
        except ValidationError as error:
            found.notes.append(f"{where}.{name}: left out, {error.errors()[0]['msg']}")
            del said["properties"][name]
    try:
        found.events.append(Event.model_validate(said))
    except ValidationError as error:
        first = error.errors()[0]
        found.notes.append(f"{where}: left out, {'.'.join(map(str, first['loc']))}: {first['msg']}")
