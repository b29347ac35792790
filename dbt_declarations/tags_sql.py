"""Writes the models of tags: one pass over each table of facts, one wide pass over persons, one row per tag."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dbt_declarations.kept import aging, finish_kept
from dbt_declarations.packed import layout, packed, with_words
from dbt_declarations.sql import active, constants, finish, name, ref, render, text, while_active
from dbt_declarations.tag_columns import (
    LAST_SEEN,
    WIDE,
    data_type,
    fact_alias,
    fact_join,
    fact_tables,
    fact_value,
    kept,
    measures_by_table,
    moment_column,
    moments_of,
    typed,
)
from dbt_declarations.tags import VALUE_TYPES, CheckedTag, tag_layers
from dbt_declarations.tags_told import parts, person_tags, unpivoted
from dbt_declarations.touched import kept_models
from dbt_declarations.wide import NUMBERED_TAGS, base

GATHERED = "int_tags__person_gathered"
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
    told = parts(tags)
    words = {part.name: part.stored_words for part in told}
    models: dict[str, str] = {}
    for over, measures in sorted(by_table.items()):
        models |= kept_models(over, measures, words.get(over, {}), fact_alias(over))
    models[GATHERED] = finish(
        _gathered(tags),
        schema="tags",
        what="One row: a person with all that tags are computed from.",
        materialized="view",
    )
    models[WIDE] = _wide(tags, words.get("profile", {}), "/".join(part.layout for part in told))
    views = {
        "int_tags__tags_unpivoted": (unpivoted(tags), "One row: a person and a tag."),
        "person_tags": (person_tags(tags), "One row: a person, one column per tag."),
        NUMBERED_TAGS: (person_tags(tags, "person_number"), "One row: a person by number, one column per tag."),
        "int_tags__tags_packed": (packed(told), "One row: a person and a table with tags, as bits."),
    }
    for model, (select, what) in views.items():
        models[model] = finish(select, schema="tags", what=what, materialized="view")
    models["int_tags__layout"] = finish(
        layout(told), schema="tags", what="One row: a tag, or a value of it, and the bit it is."
    )
    models["tag"] = finish(_catalogue(tags), schema="tags", what="One row: a tag.")
    models["tag_wecom"] = finish(
        _wecom(tags), schema="tags", what="One row: a tag of the WeCom library that stands for a manual tag's value."
    )
    models["tag_allowed_value"] = finish(_allowed(tags), schema="tags", what="One row: a value a manual tag may have.")
    return models


def _gathered(tags: Sequence[CheckedTag]) -> str:
    """What the expressions read, and the tags that need none: a view, so that both steps are one pass."""
    reads = {r for t in tags for r in t.reads if r[0] != "tag"} | {LAST_SEEN}
    columns, joins = _joined([t for t in tags if not t.is_computed])
    ctes = [*_manual(tags), f"final as ({base(reads, columns, joins, numbered=True)})"]
    return "with " + ",\n".join(ctes) + "\nselect * from final"


def _wide(tags: Sequence[CheckedTag], words: Mapping[str, str], layouts: str) -> str:
    ctes = []
    layers = tag_layers(list(tags))
    for position, layer in enumerate(layers, start=1):
        computed = [f"{_value(t)} as {name(f'tag__{t.name}')}" for t in layer]
        computed += [f"{render(t.known_at)} as {name(f'since__{t.name}')}" for t in layer if t.known_at]
        ctes.append(f"layer_{position} as (select *, {', '.join(computed)} from layer_{position - 1})")
    ctes.append(f"packed as ({with_words(words, f'layer_{len(layers)}', 'wide')})")
    columns = ["person_id", "person_number", *(name(f"tag__{t.name}") for t in tags if not t.measure), *words]
    columns += [name("__".join(LAST_SEEN)), *(name(c) for t in tags if (c := moment_column(t)))]
    # What histories compare is told by the digest alone, so it changes with aggregates, too, and with what as_of alone changes.
    also = [_digest_of(over) for over in fact_tables(tags)]
    also += [name(f"tag__{t.name}") for t in tags if t.measure and (_dated(t) or _ages(t))]
    what = "One row: a person with every tag that is not an aggregate. Who is made from what the last run had is not computed again."
    return finish_kept(
        f"select * from {ref(GATHERED)}",
        ctes,
        columns,
        "packed",
        schema="tags",
        what=what,
        history=("int_tags", "assigned_at", "removed_at"),
        inputs=_inputs(tags, also),
        also=also,
        # bits say it, too, where false and null are the same: of rules that hold every day
        twice=[
            name(f"tag__{t.name}")
            for t in tags
            if t.is_computed and t.type == "boolean" and kept(t) != "none" and not _dated(t)
        ],
        declared=layouts,
    )


def _inputs(tags: Sequence[CheckedTag], also: Sequence[str]) -> list[str] | None:
    """What a person's row is made from; None when only other tags tell how days change it."""
    computed = [t for t in tags if t.is_computed]
    own = {f"tag__{t.name}" for t in computed}
    typed = [e for t in computed for e in (t.value, t.known_at, *(when for when, _ in t.cases)) if e]
    aged = {sql: columns for e in typed for sql, columns in aging(e).items()}
    if any(columns & own for columns in aged.values()):
        return None
    read = {"__".join(LAST_SEEN), *("__".join(r) for t in computed for r in t.reads)} - own
    read |= {f"tag__{t.name}" for t in tags if not t.measure and not t.is_computed}
    read |= {f"since__{t.name}" for t in tags if t.kind == "manual"}
    dated = {condition for t in computed if t.declaration and (condition := active(t.declaration))}
    return [*(name(c) for c in sorted(read)), *also, *sorted(aged), *sorted(dated)]


def _dated(tag: CheckedTag) -> bool:
    """Whether a tag holds on some days only."""
    return tag.declaration is not None and active(tag.declaration) is not None


def _ages(tag: CheckedTag) -> bool:
    """Whether days alone change what the history keeps of a tag over facts."""
    return tag.measure is not None and tag.measure[1].aggregate == "days_since" and kept(tag) == "values"


def _digest_of(over: str) -> str:
    return name(f"{fact_alias(over)}__digest")


def _joined(tags: Sequence[CheckedTag]) -> tuple[list[str], list[str]]:
    """Columns and joins of the tags that are aggregated, set by people or written by hand."""
    columns: dict[str, None] = {}
    joins: dict[str, None] = {}
    moments = moments_of(tags)
    for over in fact_tables(tags):
        columns[f"hash({fact_alias(over)}.digest, {fact_alias(over)}.holds_until) as {_digest_of(over)}"] = None
        joins[fact_join(over, "person", "person_number")] = None
    for tag in tags:
        if tag.measure:
            value = fact_value(tag, moments[tag.name])
        elif tag.kind == "manual":
            value = typed(tag, f"manual.{name(f'tag__{tag.name}')}")
            joins["left join manual on manual.person_id = person.person_id"] = None
            columns[f"manual.{name(f'since__{tag.name}')}"] = None
        else:
            alias = name(f"tag_{tag.name}")
            value = typed(tag, f"{alias}.value")
            joins[f"left join {ref(f'tag_{tag.name}')} as {alias} on {alias}.person_id = person.person_id"] = None
        columns[f"{value} as {name(f'tag__{tag.name}')}"] = None
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
