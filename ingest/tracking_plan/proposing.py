"""What comes without being planned, with counts and a proposed declaration: types and shares are counted in SQL, and no value
is shown, since nobody has said yet what is personal in it."""

from __future__ import annotations

from dataclasses import dataclass, field

import duckdb

from cdp.settings import Settings
from cdp.sources import active_sources, raw_table
from cdp.tracking_plan import CALL_NAMES, Event, Plan, Property, event_sources
from cdp.warehouse import reading
from ingest.tracking_plan.verdict import shown
from ingest.typing import literal, quoted

_KINDS = {
    "VARCHAR": "string", "BIGINT": "integer", "UBIGINT": "integer", "HUGEINT": "integer", "DOUBLE": "number",
    "BOOLEAN": "boolean", "OBJECT": "object", "ARRAY": "array",
}  # fmt: skip
ALWAYS = 0.999  # share from which a property is proposed as required


@dataclass
class Unplanned:
    """An event that nobody planned, or a planned one with properties that nobody planned. `properties`: name -> (events that
    had it, proposed type)."""

    key: str
    name: str
    events: int
    sources: list[str]
    is_planned: bool
    properties: dict[str, tuple[int, str]] = field(default_factory=dict)

    def proposal(self, owner: str) -> Event | None:
        """A declaration to complete; None when the name cannot be one."""
        if not self.name or shown(self.name) != self.name:
            return None
        properties = {
            name: Property(
                type=kind,
                description="To be said.",
                required=count >= ALWAYS * self.events,
            )
            for name, (count, kind) in sorted(self.properties.items())
            if shown(name) == name
        }
        return Event(
            name=self.name,
            type="track" if self.key.startswith("track:") else self.key,
            description="To be said: when exactly is it sent?",
            why="To be said: which question does it answer?",
            owner=owner,
            status="planned",
            sources=self.sources,
            properties=properties,
        )


def unplanned(plan: Plan, settings: Settings) -> list[Unplanned]:
    """Unplanned events and properties in the order of their number; of events in Segment's shape, from raw."""
    found: dict[str, Unplanned] = {}
    with reading(settings) as con:
        present = {
            n for (n,) in con.execute("select table_name from duckdb_tables() where schema_name = 'raw'").fetchall()
        }
        for source, tables in event_sources(active_sources(settings)).items():
            for table in tables:
                if raw_table(source, table) in present:
                    _count(con, plan, source, raw_table(source, table), found)
    return sorted(found.values(), key=lambda u: (u.is_planned, -u.events, u.key))


def _count(con: duckdb.DuckDBPyConnection, plan: Plan, source: str, table: str, found: dict[str, Unplanned]) -> None:
    planned = ", ".join(literal(key) for key in sorted(plan.events)) or "null"
    pairs = ", ".join(
        f"({literal(key)}, {literal(name)})" for key, event in sorted(plan.events.items()) for name in event.properties
    )
    known = (
        f"select * from (values {pairs}) as p(plan_key, name)"
        if pairs
        else "select null as plan_key, null as name where false"
    )
    con.execute(
        f"""
        create or replace temp table arrived as
        select case when type = 'track' then 'track:' || event else type end as plan_key,
            case when type in ('identify', 'group') then coalesce(nullif(traits, 'null'), json_extract(context, '$.traits'))
                else properties end as bag
        from raw.{quoted(table)}
        """
    )
    for key, is_planned, events in con.execute(
        f"select plan_key, plan_key in ({planned}), count(*) from arrived where plan_key is not null group by all order by all"
    ).fetchall():
        name = key.removeprefix("track:") if key.startswith("track:") else CALL_NAMES.get(key, key)
        entry = found.setdefault(key, Unplanned(key, name, 0, [], bool(is_planned)))
        entry.events += events
        entry.sources.append(source)
    for key, name, kind, events in con.execute(
        f"""
        with known as ({known}),
        named as (select plan_key, bag, unnest(json_keys(bag)) as name from arrived),
        typed as (
            select named.plan_key, named.name, json_type(json_extract(bag, '$."' || replace(named.name, '"', '') || '"')) as kind
            from named anti join known on named.plan_key = known.plan_key and named.name = known.name
        )
        select plan_key, name, coalesce(nullif(kind, 'NULL'), 'VARCHAR') as kind, count(*) from typed
        where plan_key is not null group by all order by all
        """
    ).fetchall():
        entry = found[key]
        before, earlier = entry.properties.get(name, (0, ""))
        entry.properties[name] = (before + events, _wider(earlier, _KINDS.get(kind, "string")))
    for key in [k for k, entry in found.items() if entry.is_planned and not entry.properties]:
        del found[key]


def _wider(first: str, second: str) -> str:
    """The type that both fit; a text when there is none."""
    if not first or first == second:
        return second
    return "number" if {first, second} == {"integer", "number"} else "string"
