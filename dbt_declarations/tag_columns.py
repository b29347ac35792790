"""Where the value of each tag is, and since when it is: aggregates of facts in the kept table of their facts, all else in the wide table.

An aggregate is written once. The wide table reads those that rules need, views read the rest from where they are; a third of the
time of a full run was writing the same columns a second time.
"""

from __future__ import annotations

from collections.abc import Sequence

from dbt_declarations.measures import Measure, Moment, shared_moments
from dbt_declarations.scope import AS_OF
from dbt_declarations.sql import DATA_TYPES, name, ref, while_active
from dbt_declarations.tags import VALUE_TYPES, CheckedTag, tag_layers
from dbt_declarations.touched import fact_model

WIDE = "int_tags__person_tagged"
LAST_SEEN = ("person", "last_seen_at")


def data_type(tag: CheckedTag) -> str:
    """The column type of a tag in person_tags."""
    return DATA_TYPES[tag.type]


def kept(tag: CheckedTag) -> str:
    """What tag_history keeps of a tag: values, assignments or none."""
    return getattr(tag.declaration, "history", None) or (
        "assignments" if VALUE_TYPES[tag.type] == "number" else "values"
    )


def measures_by_table(tags: Sequence[CheckedTag]) -> dict[str, list[Measure]]:
    """The aggregates over each table of facts."""
    found: dict[str, list[Measure]] = {}
    for tag in tags:
        if tag.measure:
            found.setdefault(tag.measure[0], []).append(tag.measure[1])
    return found


def fact_tables(tags: Sequence[CheckedTag]) -> list[str]:
    """The tables of facts that tags are made from, in order."""
    return sorted(measures_by_table(tags))


def fact_alias(over: str) -> str:
    """The name under which each query joins the aggregates over a table of facts."""
    return f"facts_{over}"


def fact_join(over: str, of: str, key: str) -> str:
    """A join that brings a person's aggregates over a table of facts, if there are any."""
    alias = fact_alias(over)
    return f"left join {ref(fact_model(over))} as {alias} on {alias}.{key} = {of}.{key}"


def moments_of(tags: Sequence[CheckedTag]) -> dict[str, Moment]:
    """Where the moment of each tag over facts is kept."""
    return {n: m for measures in measures_by_table(tags).values() for n, m in shared_moments(measures).items()}


def moment_column(tag: CheckedTag) -> str | None:
    """The column of the wide table that says since when a tag is; None: facts, the profile or other tags say it."""
    return f"since__{tag.name}" if tag.kind == "manual" or tag.known_at else None


def fact_value(tag: CheckedTag, moment: Moment) -> str:
    """The value of a tag over facts, from the aggregates under their alias."""
    assert tag.measure is not None  # noqa: S101 - callers look first
    alias = fact_alias(tag.measure[0])
    is_age = tag.measure[1].aggregate == "days_since"
    value = f"date_sub('day', {moment.sql(alias)}, {AS_OF})" if is_age else f"{alias}.{name(tag.name)}"
    return typed(tag, f"coalesce({value}, {tag.zero})" if tag.zero else value)


def typed(tag: CheckedTag, value: str) -> str:
    """A tag's value in its type, on days on which the tag holds."""
    return while_active(tag.declaration, f"cast({value} as {data_type(tag)})")


def assigned(tag: CheckedTag, value: str) -> str:
    """The condition that a value says something; null counts as false."""
    if tag.zero is None:
        return f"{value} is not null"
    return value if tag.zero == "false" else f"{value} <> 0"


def fact_assigned(tag: CheckedTag, moment: Moment) -> str:
    """The same of a tag over facts, told from what is kept: a value is not made to be looked at."""
    assert tag.measure is not None  # noqa: S101 - callers look first
    alias = fact_alias(tag.measure[0])
    is_age = tag.measure[1].aggregate == "days_since"
    return while_active(tag.declaration, assigned(tag, moment.sql(alias) if is_age else f"{alias}.{name(tag.name)}"))


def as_text(tag: CheckedTag, value: str) -> str:
    """A value as tag_assignment and tag_history say it."""
    if tag.type == "list":
        return f"cast(to_json({value}) as varchar)"
    if tag.type == "number":
        whole = f"cast(cast({value} as bigint) as varchar)"
        is_whole = f"{value} = floor({value}) and abs({value}) < 1e15"
        return f"case when {is_whole} then {whole} else cast({value} as varchar) end"
    return f"cast({value} as varchar)"


def rests_on(tags: Sequence[CheckedTag]) -> dict[str, list[tuple[str | None, str]]]:
    """What tells since when each tag is: tables of facts (None: the wide table) and SQL of moments in them. The newest of the facts that
    its condition, or those of the tags it reads, choose, and of the profile for everything else; of what a model says, the moment of
    the scoring."""
    moments = moments_of(tags)
    seen = (None, f"wide.{name('__'.join(LAST_SEEN))}")
    rests: dict[str, dict[tuple[str | None, str], None]] = {}
    for tag in [*(t for t in tags if not t.is_computed), *(t for layer in tag_layers(list(tags)) for t in layer)]:
        others = sorted(c for ns, c in tag.reads if ns == "tag")
        if tag.measure:
            over = tag.measure[0]
            rests[tag.name] = {(over, moments[tag.name].sql(fact_alias(over))): None}
        elif column := moment_column(tag):
            rests[tag.name] = {(None, f"wide.{name(column)}"): None}
        else:
            rests[tag.name] = {part: None for other in others for part in rests[other]}
            if not others or any(ns != "tag" for ns, _ in tag.reads):
                rests[tag.name][seen] = None
    return {n: sorted(found, key=lambda part: (part[0] or "", part[1])) for n, found in rests.items()}
