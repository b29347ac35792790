"""Writes the models of tags: one pass over each table of facts, one wide pass over persons, one row per tag."""

from __future__ import annotations

from collections.abc import Sequence

from dbt_declarations.measures import Measure, Moment, shared_moments
from dbt_declarations.scope import AS_OF
from dbt_declarations.sql import DATA_TYPES, constants, finish, finish_kept, name, ref, render, text, while_active
from dbt_declarations.tags import VALUE_TYPES, CheckedTag, tag_layers
from dbt_declarations.touched import fact_model, kept_models
from dbt_declarations.wide import NUMBER, base

GATHERED = "int_tags__person_gathered"
WIDE = "int_tags__person_tagged"
_LAST_SEEN = ("person", "last_seen_at")
CATALOGUE = (
    ("tag", "varchar"),
    ("value_type", "varchar"),
    ("source", "varchar"),
    ("owner", "varchar"),
    ("description", "varchar"),
    ("refresh", "varchar"),
    ("pii", "varchar"),
    ("exclusive_group", "varchar"),
    ("history", "varchar"),
    ("since_on", "date"),
    ("expires_on", "date"),
)


def tag_models(tags: Sequence[CheckedTag]) -> dict[str, str]:
    """SQL by model name."""
    by_table = measures_by_table(tags)
    models = {n: sql for over, measures in sorted(by_table.items()) for n, sql in kept_models(over, measures).items()}
    models[GATHERED] = finish(
        _gathered(tags),
        schema="tags",
        what="One row: a person with all that tags are computed from.",
        materialized="view",
    )
    models[WIDE] = _wide(tags)
    models["int_tags__tags_unpivoted"] = finish(
        _unpivoted(tags), schema="tags", what="One row: a person and a tag.", materialized="view"
    )
    models["person_tags"] = finish(
        _person_tags(tags), schema="tags", what="One row: a person, one column per tag.", materialized="view"
    )
    models["tag"] = finish(_catalogue(tags), schema="tags", what="One row: a tag.")
    models["tag_wecom"] = finish(
        _wecom(tags), schema="tags", what="One row: a tag of the WeCom library that stands for a manual tag's value."
    )
    models["tag_allowed_value"] = finish(_allowed(tags), schema="tags", what="One row: a value a manual tag may have.")
    return models


def measures_by_table(tags: Sequence[CheckedTag]) -> dict[str, list[Measure]]:
    """The aggregates over each table of facts."""
    found: dict[str, list[Measure]] = {}
    for tag in tags:
        if tag.measure:
            found.setdefault(tag.measure[0], []).append(tag.measure[1])
    return found


def data_type(tag: CheckedTag) -> str:
    """The column type of a tag in person_tags."""
    return DATA_TYPES[tag.type]


def _gathered(tags: Sequence[CheckedTag]) -> str:
    """What the expressions read, and the tags that need none: a view, so that both steps are one pass."""
    reads = {r for t in tags for r in t.reads if r[0] != "tag"} | {_LAST_SEEN}
    columns, joins = _joined([t for t in tags if not t.is_computed])
    ctes = [*_manual(tags), f"final as ({base(reads, [NUMBER, *columns], joins)})"]
    return "with " + ",\n".join(ctes) + "\nselect * from final"


def _wide(tags: Sequence[CheckedTag]) -> str:
    ctes = [f"layer_0 as (select * from {ref(GATHERED)})"]
    layers = tag_layers(list(tags))
    for position, layer in enumerate(layers, start=1):
        computed = [f"{_value(t)} as {name(f'tag__{t.name}')}" for t in layer]
        computed += [f"{render(t.known_at)} as {name(f'since__{t.name}')}" for t in layer if t.known_at]
        ctes.append(f"layer_{position} as (select *, {', '.join(computed)} from layer_{position - 1})")
    columns = ["person_id", "person_number", *(name(f"tag__{t.name}") for t in tags), name("__".join(_LAST_SEEN))]
    moments = moments_of(tags)
    columns += dict.fromkeys(name(c) for t in tags if (c := _moment_column(t, moments)))
    what = "One row: a person with every tag, and the moments since when. Who has the digest of the last run is not written again."
    return finish_kept("with " + ",\n".join(ctes), columns, f"layer_{len(layers)}", schema="tags", what=what)


def moments_of(tags: Sequence[CheckedTag]) -> dict[str, Moment]:
    """Where the moment of each tag over facts is kept."""
    return {n: m for measures in measures_by_table(tags).values() for n, m in shared_moments(measures).items()}


def _moment_column(tag: CheckedTag, moments: dict[str, Moment]) -> str | None:
    """The column of the wide table that says since when a tag is; None: the profile or other tags say it."""
    if tag.measure:
        return moments[tag.name].column
    return f"since__{tag.name}" if tag.kind == "manual" or tag.known_at else None


def _joined(tags: Sequence[CheckedTag]) -> tuple[list[str], list[str]]:
    """Columns and joins of the tags that are aggregated, set by people or written by hand."""
    columns: dict[str, None] = {}
    joins: dict[str, None] = {}
    moments = moments_of(tags)
    for tag in tags:
        if tag.measure:
            alias = f"facts_{tag.measure[0]}"
            joins[f"left join {ref(fact_model(tag.measure[0]))} as {alias} on {alias}.person_id = person.person_id"] = (
                None
            )
            moment = moments[tag.name]
            columns[f"{alias}.{name(moment.column)}"] = None
            is_age = tag.measure[1].aggregate == "days_since"
            value = f"date_sub('day', {moment.sql(alias)}, {AS_OF})" if is_age else f"{alias}.{name(tag.name)}"
            value = f"coalesce({value}, {tag.zero})" if tag.zero else value
        elif tag.kind == "manual":
            value = f"manual.{name(f'tag__{tag.name}')}"
            joins["left join manual on manual.person_id = person.person_id"] = None
            columns[f"manual.{name(f'since__{tag.name}')}"] = None
        else:
            alias = name(f"tag_{tag.name}")
            value = f"{alias}.value"
            joins[f"left join {ref(f'tag_{tag.name}')} as {alias} on {alias}.person_id = person.person_id"] = None
        cast = f"cast({value} as {data_type(tag)})"
        columns[f"{while_active(tag.declaration, cast)} as {name(f'tag__{tag.name}')}"] = None
    return list(columns), list(joins)


def _manual(tags: Sequence[CheckedTag]) -> list[str]:
    manual = [t for t in tags if t.kind == "manual"]
    if not manual:
        return []
    columns = []
    for tag in manual:
        chosen = f"filter (where tag = {text(tag.name)})"
        value = f"max(value) {chosen}"
        if tag.type == "list":
            value = f"list_sort(list_distinct(string_split({value}, '|')))"
        columns.append(f"try_cast({value} as {data_type(tag)}) as {name(f'tag__{tag.name}')}")
        columns.append(f"max(set_at) {chosen} as {name(f'since__{tag.name}')}")
    select = f"select person_id, {', '.join(columns)} from {ref('int_tags__manual_resolved')}"
    return [f"manual as ({select} where problem is null group by person_id)"]


def _value(tag: CheckedTag) -> str:
    if tag.value is None:
        branches = " ".join(f"when {render(when)} then {text(value or '')}" for when, value in tag.cases)
        otherwise = f" else {text(tag.otherwise)}" if tag.otherwise else ""
        value = f"case {branches}{otherwise} end"
    elif tag.type == "boolean":
        value = f"coalesce({render(tag.value)}, false)"
    elif tag.type == "number":
        value = f"case when isfinite({render(tag.value)}) then {render(tag.value)} end"
    else:
        value = f"nullif({render(tag.value)}, '')" if tag.type == "text" else render(tag.value)
    for other in tag.yields_to:
        value = f"{value} and not coalesce({name(f'tag__{other}')}, false)"
    return f"cast({while_active(tag.declaration, value)} as {data_type(tag)})"


def _since(tags: Sequence[CheckedTag]) -> dict[str, str]:
    """Since when each tag is, from columns of the wide table: the newest of what the value rests on, which is the facts behind other
    tags, and the profile for everything else; of what a model says, the moment of the scoring. At most as_of."""
    moments = moments_of(tags)
    seen = name("__".join(_LAST_SEEN))
    rests: dict[str, dict[str, None]] = {}
    for tag in [*(t for t in tags if not t.is_computed), *(t for layer in tag_layers(list(tags)) for t in layer)]:
        others = sorted(c for ns, c in tag.reads if ns == "tag")
        if column := _moment_column(tag, moments):
            rests[tag.name] = {moments[tag.name].sql() if tag.measure else name(column): None}
        elif others and all(ns == "tag" for ns, _ in tag.reads):
            rests[tag.name] = {part: None for other in others for part in rests[other]}
        else:
            rests[tag.name] = {part: None for other in others for part in rests[other]} | {seen: None}
    return {
        n: f"least({parts[0] if len(parts) == 1 else 'greatest(' + ', '.join(parts) + ')'}, {AS_OF})"
        for n, parts in ((n, sorted(found)) for n, found in rests.items())
    }


def _unpivoted(tags: Sequence[CheckedTag]) -> str:
    selects = []
    since = _since(tags)
    for tag in tags:
        column = name(f"tag__{tag.name}")
        counts = f"{column} is not null" if tag.zero is None else (column if tag.zero == "false" else f"{column} <> 0")
        selects.append(
            f"select person_id, person_number, {text(tag.name)} as tag, {_as_text(tag, column)} as value,"
            f" {_as_text(tag, column) if kept(tag) == 'values' else 'cast(null as varchar)'} as kept_value,"
            f" {since[tag.name]} as since_at, written_at from {ref(WIDE)} where {counts}"
        )
    columns = (("person_id", "varchar"), ("person_number", "ubigint"), ("tag", "varchar"), ("value", "varchar"))
    empty = constants((*columns, ("kept_value", "varchar"), ("since_at", "timestamp"), ("written_at", "timestamp")), [])
    return "\nunion all\n".join(selects) or empty


def _as_text(tag: CheckedTag, column: str) -> str:
    if tag.type == "list":
        return f"cast(to_json({column}) as varchar)"
    if tag.type == "number":
        whole = f"cast(cast({column} as bigint) as varchar)"
        is_whole = f"{column} = floor({column}) and abs({column}) < 1e15"
        return f"case when {is_whole} then {whole} else cast({column} as varchar) end"
    return f"cast({column} as varchar)"


def _person_tags(tags: Sequence[CheckedTag]) -> str:
    columns = "".join(f", {name(f'tag__{t.name}')} as {name(t.name)}" for t in tags)
    return f"select person_id{columns} from {ref(WIDE)}"


def _catalogue(tags: Sequence[CheckedTag]) -> str:
    rows: list[list[object]] = []
    for tag in tags:
        told: list[object] = [None] * 6
        if tag.declaration:
            group = getattr(tag.declaration, "group", None)
            told = [tag.declaration.owner, tag.declaration.description, tag.declaration.refresh, group]
            told += [tag.declaration.since, tag.declaration.expires]
        value_type = VALUE_TYPES[tag.type]
        rows.append([tag.name, value_type, tag.kind, *told[:3], tag.pii, told[3], kept(tag), *told[4:]])
    return constants(CATALOGUE, rows)


def kept(tag: CheckedTag) -> str:
    """What tag_history keeps of a tag: values, assignments or none."""
    return getattr(tag.declaration, "history", None) or (
        "assignments" if VALUE_TYPES[tag.type] == "number" else "values"
    )


def _allowed(tags: Sequence[CheckedTag]) -> str:
    rows = [[t.name, v] for t in tags for v in sorted(getattr(t.declaration, "allowed_values", None) or [])]
    return constants((("tag", "varchar"), ("value", "varchar")), rows)


def _wecom(tags: Sequence[CheckedTag]) -> str:
    columns = (("tag", "varchar"), ("value", "varchar"), ("wecom_tag", "varchar"))
    rows = [
        [t.name, value, wecom_tag]
        for t in tags
        for wecom_tag, value in sorted((getattr(t.declaration, "wecom", None) or {}).items())
    ]
    return constants(columns, rows)
