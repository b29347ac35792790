"""From the tracking plan to dbt: violations of what was landed, counts, the catalogue, and a typed model per event.

A stream is what comes from one source: a raw table in Segment's shape, which is judged before staging so that staging can
leave out what is blocked and dropped; or a staging model that gives the shape `event`, which is judged as it is.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import sqlglot

from cdp.settings import Settings
from cdp.sources import active_sources
from cdp.tracking_plan import CALL_NAMES, Plan, has_plan, load_plan
from dbt_declarations.tracking_catalogue import catalogue_models
from dbt_declarations.tracking_events import event_models
from dbt_declarations.tracking_sql import (
    literal,
    masked_sql,
    paths_sql,
    shown_sql,
    unplanned_sql,
    violations_sql,
)
from dbt_declarations.tracking_streams import Stream, stream_version, streams

FOLDER = Path("models/generated/tracking")
HEADER = "-- Made from ingest/tracking_plan; edits are overwritten. {what}\n"
_EVENT_NAME = (
    "case event_type when 'track' then track_name "
    + " ".join(f"when {literal(t)} then {literal(n)}" for t, n in CALL_NAMES.items())
    + " else event_type end"
)


def compile_tracking(settings: Settings) -> dict[Path, str]:
    """Generated files by their path below the dbt project. Raises DeclarationError. Without a plan: only the macro."""
    if not has_plan(settings):
        return {Path("macros/generated/tracking.sql"): _macro({})}
    plan = load_plan(settings)
    found = streams(plan, settings)
    if not found:  # no active source sends events
        return {Path("macros/generated/tracking.sql"): _macro({})}
    versions = {(s.source, s.table): stream_version(plan, s) for s in found}
    files = {
        Path("macros/generated/tracking.sql"): _macro(_enforced_tables(plan, found)),
        FOLDER / "tracking_violation.sql": _all_violations(found),
        FOLDER / "tracking_event_count.sql": _count_model(plan, found, versions),
    }
    for name, own in _judging_models(found).items():
        files[FOLDER / f"{name}.sql"] = _violation_model(plan, own, versions)
    files |= {FOLDER / name: text for name, text in catalogue_models(plan, list(_judging_models(found))).items()}
    files |= {FOLDER / "events" / name: text for name, text in event_models(plan, active_sources(settings)).items()}
    return files


def enforcement_versions(settings: Settings) -> dict[str, str]:
    """Of each source with an enforced table: what decides which of its rows and properties reach staging."""
    if not has_plan(settings):
        return {}
    plan = load_plan(settings)
    found: dict[str, str] = {}
    for stream in streams(plan, settings):
        if stream.enforced and _effects(plan, stream.source):
            owner = stream.table.split("__", 1)[0]
            found[owner] = hashlib.sha256((found.get(owner, "") + stream_version(plan, stream)).encode()).hexdigest()
    return found


def _arrived(number: int, stream: Stream) -> str:
    """What is new of a stream, with the key by which it is found in the plan."""
    c = stream.columns
    conditions = [stream.where, f"{c['sequence']} > through__{number}"]
    return f"""arrived_{number} as materialized (
    select
        {literal(stream.source)} as source,
        {literal(stream.table)} as table_name,
        {c["sequence"]} as sequence,
        {c["message_id"]} as message_id,
        {c["event_type"]} as event_type,
        {c["track_name"]} as track_name,
        case when {c["event_type"]} = 'track' then 'track:' || {c["track_name"]} else {c["event_type"]} end as plan_key,
        {c["call_name"]} as call_name,
        {c["bag"]} as bag,
        {c["sdk"]} as context,
        {c["occurred_at"]} as occurred_at
    from {stream.relation}
    where {" and ".join(f"({x})" for x in conditions if x)}
)"""


def _judged(number: int, stream: Stream, plan: Plan, version: str) -> str:
    taken = " ".join(f"when {literal(k)} then {paths_sql(e, stream.source)}" for k, e in sorted(plan.events.items()))
    judged = " ".join(
        f"when {literal(k)} then {violations_sql(e, plan.enforcement(e, stream.source), stream.source)}"
        for k, e in sorted(plan.events.items())
    )
    none = unplanned_sql(plan.enforcement(None, stream.source))
    return f"""{_arrived(number, stream)},
taken_{number} as (
    select *, case plan_key {taken} else cast(null as json[]) end as vals from arrived_{number}
),
judged_{number} as (
    select * exclude (bag, vals), {literal(version)} as plan_version, case plan_key {judged} else {none} end as violations
    from taken_{number}
)"""


def violation_query(plan: Plan, found: list[Stream], versions: dict[tuple[str, str], str]) -> str:
    """The select that judges every stream; names of relations and `through__<n>` are still to be put in."""
    ctes = ",\n".join(_judged(n, s, plan, versions[s.source, s.table]) for n, s in enumerate(found))
    union = " union all ".join(f"select * from judged_{n}" for n in range(len(found)))
    event_name = shown_sql(f"coalesce({_EVENT_NAME}, '')")
    path = "violation.path"
    sdk, sdk_version = (shown_sql(f"json_extract_string(context, '$.library.{k}')") for k in ("name", "version"))
    return f"""with {ctes},
judged as ({union}),
numbered as (
    select * exclude (violations), unnest(violations) as violation,
        unnest(range(1, len(violations) + 1)) as position
    from judged where len(violations) > 0
),
acted as (
    select *, case when violation.rule = 'missing' then violation.if_missing else violation.if_invalid end as action
    from numbered
),
final as (
    select
        sequence || '/' || position as violation_key,
        source,
        table_name,
        sequence,
        message_id,
        event_type,
        {event_name} as event_name,
        violation.rule as rule,
        case when violation.rule = 'unplanned_property' then {shown_sql(path)} else {path} end as path,
        {masked_sql("violation.value")} as found,
        action,
        case when action = 'drop' then regexp_extract({path}, '^[^.\\[]+') end as dropped,
        {sdk} as sdk,
        {sdk_version} as sdk_version,
        occurred_at,
        plan_version
    from acted
    where action <> 'allow'
)
select * from final"""


def violation_model(table: str) -> str:
    """Name of the model that judges a raw table. Each has its own, so that one table that is held back holds back no other."""
    return f"int_tracking__{table}_violated"


def _judging_models(found: list[Stream]) -> dict[str, list[Stream]]:
    models: dict[str, list[Stream]] = {}
    for stream in found:
        models.setdefault(violation_model(stream.table if stream.enforced else "staged"), []).append(stream)
    return models


def _all_violations(found: list[Stream]) -> str:
    what = "One row is one violation of the tracking plan by one landed event."
    union = " union all ".join(f"select * from ref__{name}" for name in _judging_models(found))
    config = "{{ config(materialized='view') }}\n"
    return HEADER.format(what=what) + config + finished(union, [], {})


def _violation_model(plan: Plan, found: list[Stream], versions: dict[tuple[str, str], str]) -> str:
    what = "One row is one violation of the tracking plan by one landed event."
    config = _config(found, versions, beyond=True)
    return HEADER.format(what=what) + config + finished(violation_query(plan, found, versions), found, versions)


def _count_model(plan: Plan, found: list[Stream], versions: dict[tuple[str, str], str]) -> str:
    what = "One row is one event name of one source on one day, as far as one build saw it."
    planned = ", ".join(literal(k) for k in sorted(plan.events)) or "null"
    ctes = ",\n".join(_arrived(n, s) for n, s in enumerate(found))
    union = " union all ".join(
        f"select * exclude (bag, context), {literal(versions[s.source, s.table])} as plan_version from arrived_{n}"
        for n, s in enumerate(found)
    )
    event_name = shown_sql(f"coalesce({_EVENT_NAME}, '')")
    query = f"""with {ctes},
arrived as ({union}),
reached as (
    select *, max(sequence) over (partition by source, table_name) as through_sequence from arrived
),
broken as (select sequence, bool_or(action = 'block') as is_blocked from ref__tracking_violation group by sequence),
final as (
    select
        reached.source,
        reached.table_name,
        {event_name} as event_name,
        event_type,
        coalesce(plan_key in ({planned}), false) as is_planned,
        cast(occurred_at as date) as occurred_on,
        count(*) as events,
        count(broken.sequence) as events_in_violation,
        count(*) filter (where broken.is_blocked) as events_blocked,
        plan_version,
        through_sequence
    from reached left join broken on broken.sequence = reached.sequence
    group by all
)
select * from final"""
    return HEADER.format(what=what) + _config(found, versions, beyond=False) + finished(query, found, versions)


def _config(found: list[Stream], versions: dict[tuple[str, str], str], *, beyond: bool) -> str:
    """Append-only. Verdicts of plans that no longer hold are taken out first, and what a killed run left beyond the last
    row that was counted; the streams concerned are then judged again from there."""
    kept = " or ".join(
        f"(source = '{s.source}' and table_name = '{s.table}' and plan_version = '{versions[s.source, s.table]}'"
        + (f" and sequence <= {_through(s, versions)}" if beyond else "")
        + ")"
        for s in found
    )
    hook = f"delete from {{{{ this }}}} where not ({kept or 'false'})"
    return (
        "{{ config(\n    materialized='incremental',\n    incremental_strategy='append',\n    on_schema_change='fail',\n"
        '    pre_hook="{% if is_incremental() %}' + hook + '{% else %}select 1{% endif %}"\n) }}\n'
    )


def _through(stream: Stream, versions: dict[tuple[str, str], str]) -> str:
    version = versions[stream.source, stream.table]
    return f"{{{{ tracked_through('{stream.source}', '{stream.table}', '{version}') }}}}"


def finished(query: str, found: list[Stream], versions: dict[tuple[str, str], str]) -> str:
    """The query parsed, so that no broken SQL leaves, formatted, and with dbt's references put in."""
    text = sqlglot.parse_one(query, dialect="duckdb").sql(
        dialect="duckdb", pretty=True, comments=False, normalize_functions="lower"
    )
    text = re.sub(r'"?\bref__(\w+)"?', r"{{ ref('\1') }}", text)
    text = re.sub(r'"?\bsource__(\w+)"?', r"{{ source('raw', '\1') }}", text)
    for number, stream in reversed(list(enumerate(found))):
        if f"through__{number}" in text:
            text = text.replace(f"through__{number}", _through(stream, versions))
    return text + "\n"


def _effects(plan: Plan, source: str) -> set[str]:
    """Which of drop and block can happen to events of a source."""
    found: set[str | None] = {plan.enforcement(None, source).unplanned_event}
    for event in plan.events.values():
        found |= set(plan.enforcement(event, source).model_dump().values())
        found |= {spec.on_violation for spec in event.properties.values()}
    return {action for action in ("drop", "block") if action in found}


def _enforced_tables(plan: Plan, found: list[Stream]) -> dict[str, set[str]]:
    tables: dict[str, set[str]] = {}
    for stream in found:
        if stream.enforced:
            tables.setdefault(stream.table, set()).update(_effects(plan, stream.source))
    return tables


def _macro(tables: dict[str, set[str]]) -> str:
    listed = ", ".join(f"'{t}': {sorted(effects)!r}" for t, effects in sorted(tables.items()))
    return (
        "{#- Made from ingest/tracking_plan: what the plan can do to events of a raw table. -#}\n"
        "{% macro tracking_effects(table) %}{{ return({" + listed + "}.get(table, [])) }}{% endmacro %}\n"
    )
