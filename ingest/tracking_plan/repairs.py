"""Declared repairs of blocked events: `ingest/tracking_plan/repairs/<name>.yml`, SQL expressions over the event.

The expressions are parsed with sqlglot (one value over the event's own columns: no subquery, aggregate, window or
statement) and run by DuckDB over all open events of that name at once. `cdp quarantine replay --repair <name>` lands what
the plan then lets through; what it still blocks stays open.
"""

from __future__ import annotations

import pyarrow as pa
import sqlglot
from pydantic import Field, model_validator
from sqlglot import exp
from sqlglot.errors import SqlglotError

from cdp.declarations import Declaration, Document, load, suggest
from cdp.errors import DeclarationError
from cdp.settings import Settings
from cdp.tracking_plan import plan_folder
from ingest.quarantine import Quarantined, open_rows
from ingest.tracking_plan.blocked import is_blocked_key
from ingest.typing import literal

COLUMNS = ("properties", "traits", "context", "event", "name", "type")
_FORBIDDEN = (exp.Query, exp.AggFunc, exp.Window, exp.DDL, exp.Command)


class Repair(Declaration):
    """How blocked events of one name are corrected."""

    name: str
    description: str
    owner: str
    event: str = Field(description="Name that the events have now.")
    when: str | None = Field(None, description="SQL: only events for which this holds.")
    rename: dict[str, str] = Field(default_factory=dict, description="Property: its name from now on.")
    set: dict[str, str] = Field(
        default_factory=dict,
        description="Property: SQL over properties, traits, context, event, name, type; null removes.",
    )
    set_event: str | None = Field(None, description="Another name for the event.")

    @model_validator(mode="after")
    def _does_something(self) -> Repair:
        if not (self.rename or self.set or self.set_event):
            raise ValueError("says nothing to do: rename, set or set_event")
        return self


def load_repair(name: str, settings: Settings) -> Document[Repair]:
    """One repair. Raises DeclarationError when there is none or something in it is wrong."""
    folder = plan_folder(settings) / "repairs"
    path = folder / f"{name}.yml"
    if not path.exists():
        raise DeclarationError(
            f'no repair "{name}"', where=str(folder), fix=suggest(name, [p.stem for p in sorted(folder.glob("*.yml"))])
        )
    document = load(path, Repair)
    if document.value.name != path.stem:
        raise document.error(
            ("name",), f'found "{document.value.name}"', expected=f'"{path.stem}", the name of its file'
        )
    _expression(document, "when")
    for key in document.value.set:
        _expression(document, "set", key)
    return document


def load_repairs(settings: Settings) -> list[Document[Repair]]:
    """All repairs. Raises DeclarationError."""
    return [load_repair(p.stem, settings) for p in sorted((plan_folder(settings) / "repairs").glob("*.yml"))]


def corrections_of(name: str, settings: Settings, source: str | None) -> dict[str, str | None]:
    """Texts of the open blocked events as the repair makes them, by quarantine key."""
    rows = [r for r in open_rows(settings, source) if is_blocked_key(r.quarantine_key) and r.original is not None]
    return repaired(load_repair(name, settings), rows)


def repaired(document: Document[Repair], rows: list[Quarantined]) -> dict[str, str | None]:
    """The rows that the repair concerns, corrected; set-based, in one statement."""
    import duckdb

    repair = document.value
    given = pa.table(
        {
            "key": pa.array([r.quarantine_key for r in rows], pa.string()),
            "text": pa.array([r.original for r in rows], pa.string()),
        }
    )
    moved = [f"{literal(new)}, coalesce(json_extract(bag, {_path(old)}), 'null')" for old, new in repair.rename.items()]
    moved += [f"{literal(old)}, null" for old in repair.rename]
    made = [f"{literal(n)}, to_json({_expression(document, 'set', n)})" for n in repair.set]
    named = f", 'event', {literal(repair.set_event)}" if repair.set_event else ""
    with duckdb.connect() as con:
        con.register("given", given)
        try:
            found = con.execute(
                f"""
                with events as (
                    select key, text::json as doc,
                        case when doc ->> '$.type' in ('identify', 'group') then 'traits' else 'properties' end as place,
                        coalesce(json_extract(doc, '$.' || place), '{{}}') as bag,
                        json_extract(doc, '$.properties') as properties, json_extract(doc, '$.traits') as traits,
                        json_extract(doc, '$.context') as context, doc ->> '$.event' as event, doc ->> '$.name' as name,
                        doc ->> '$.type' as type
                    from given
                ), chosen as (
                    select * from events
                    where coalesce(event, '') = {literal(repair.event)} and ({_expression(document, "when") or "true"})
                ), patched as (
                    select key, doc, place, json_merge_patch(json_merge_patch(bag, json_object({", ".join(moved)})),
                        json_object({", ".join(made)})) as bag
                    from chosen
                )
                select key, json_merge_patch(doc, json_object(place, bag{named}))::varchar from patched order by key
                """
            ).fetchall()
        except duckdb.Error as error:
            reason = type(error).__name__  # its text quotes values
            raise document.error((), f"cannot be run: {reason}", fix="try the expressions on one event") from None
    return dict(found)


def _expression(document: Document[Repair], *keys: str) -> str:
    text = document.value.set[keys[-1]] if keys[0] == "set" else document.value.when
    if text is None:
        return ""
    try:
        tree = sqlglot.parse_one(text, dialect="duckdb")
    except SqlglotError:
        raise document.error(keys, f'is not a SQL expression: "{text}"') from None
    if tree.find(*_FORBIDDEN):
        raise document.error(keys, "a subquery, aggregate, window or statement", expected="one value over the event")
    for column in tree.find_all(exp.Column):
        if column.name not in COLUMNS or column.table:
            raise document.error(keys, f'unknown column "{column.sql()}"', expected="one of " + ", ".join(COLUMNS))
    # to DuckDB `a ->> b is null` is `a ->> (b is null)`: what was read as one value is written as one
    for arrow in list(tree.find_all(exp.JSONExtract, exp.JSONExtractScalar)):
        arrow.replace(exp.paren(arrow.copy()))
    return tree.sql(dialect="duckdb")


def _path(name: str) -> str:
    return literal(f'$."{name}"')
