"""The streams of events that the tracking plan judges: a raw table in Segment's shape, by input of the collector where it has
several; or a staging model that gives the shape `event`."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from cdp.declarations import Document
from cdp.settings import Settings
from cdp.sources import Source, active_sources, raw_table
from cdp.tracking_plan import Plan, is_event_table
from dbt_declarations.tracking_sql import literal, violations_sql

# of a collector's table: the input that an event came by
INPUT_COLUMN = "source"


@dataclass(frozen=True)
class Stream:
    """Events of one source. `relation` and the columns are SQL; `enforced`: staging leaves out what is blocked or dropped.

    `table` is the raw table, or the staging model of a stream that is not enforced.
    """

    source: str
    table: str
    relation: str
    columns: dict[str, str]
    where: str
    enforced: bool


def streams(plan: Plan, settings: Settings) -> list[Stream]:
    """All streams of the active sources, in the order of their names."""
    found: list[Stream] = []
    planned = {name for event in plan.events.values() for name in event.sources}
    for name, document in sorted(active_sources(settings).items()):
        tables = [t for t in document.value.tables if is_event_table(document.value, t)]
        if tables:
            found += [s for t in tables for s in raw_streams(plan, document.value, t)]
        elif name in planned:
            found += _staged_streams(document)
    return found


def stream_version(plan: Plan, stream: Stream) -> str:
    """Changes with everything that decides the verdicts of a stream, and with nothing else."""
    parts = [plan.enforcement(None, stream.source).model_dump_json(), repr(stream)]
    for key, event in sorted(plan.events.items()):
        parts.append(key + violations_sql(event, plan.enforcement(event, stream.source), stream.source))
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]


def raw_streams(plan: Plan, source: Source, table: str) -> list[Stream]:
    columns = {
        "sequence": "_cdp_sequence",
        "message_id": "message_id",
        "event_type": "type",
        "track_name": "event",
        "call_name": "name",
        "bag": "case when type in ('identify', 'group') then "
        "coalesce(case when json_type(traits) <> 'NULL' then traits end, json_extract(context, '$.traits')) "
        "else properties end",
        "sdk": "context",
        "occurred_at": "\"timestamp\" at time zone 'UTC'",
    }
    raw = raw_table(source.name, table)
    if INPUT_COLUMN not in source.tables[table].columns:
        return [Stream(source.name, raw, f"source__{raw}", columns, "", True)]
    inputs = sorted(n for n in plan.settings.sources if n != source.name)
    listed = ", ".join(literal(n) for n in inputs)
    found = [Stream(n, raw, f"source__{raw}", columns, f"{INPUT_COLUMN} = {literal(n)}", True) for n in inputs]
    others = f"coalesce({INPUT_COLUMN}, '') not in ({listed})" if inputs else ""
    return [*found, Stream(source.name, raw, f"source__{raw}", columns, others, True)]


def _staged_streams(document: Document[Source]) -> list[Stream]:
    from dbt_declarations.conformed import check_expression

    found = []
    for position, provides in enumerate(document.value.conformed):
        event = provides.shapes().get("event")
        if event is None:
            continue

        shape: dict[str, str] = event

        def expression(name: str, at: int = position, shape: dict[str, str] = shape) -> str:
            return check_expression(document, ("conformed", at, "event", name), shape[name])

        columns = {
            "sequence": "sequence",
            "message_id": f"cast({expression('event_id')} as varchar)",
            "event_type": expression("event_type"),
            "track_name": expression("event_name"),
            "call_name": "cast(null as varchar)",
            "bag": f"cast({expression('properties')} as json)" if "properties" in event else "cast(null as json)",
            "sdk": "cast(null as json)",
            "occurred_at": expression("occurred_at"),
        }
        when = check_expression(document, ("conformed", position, "when"), provides.when) if provides.when else ""
        found.append(Stream(document.value.name, provides.model, f"ref__{provides.model}", columns, when, False))
    return found
