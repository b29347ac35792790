"""Writes the views that tell of tags: one column a tag, one row a tag, and the rows of bits that their history begins with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlglot import exp

from dbt_declarations.packed import WORD, Bit, Part
from dbt_declarations.scope import AS_OF
from dbt_declarations.sql import active, constants, name, ref, text
from dbt_declarations.tag_columns import (
    WIDE,
    as_text,
    assigned,
    fact_alias,
    fact_assigned,
    fact_join,
    fact_tables,
    fact_value,
    kept,
    moments_of,
    rests_on,
)
from dbt_declarations.tags import CheckedTag
from dbt_declarations.touched import fact_model

_ROW = (
    ("person_id", "varchar"),
    ("tag", "varchar"),
    ("value", "varchar"),
    ("since_at", "timestamp"),
)


def values_of(tags: Sequence[CheckedTag]) -> dict[str, str]:
    """The SQL of each tag's value: from the wide table as `wide`, or from aggregates under their aliases."""
    moments = moments_of(tags)
    return {t.name: fact_value(t, moments[t.name]) if t.measure else f"wide.{name(f'tag__{t.name}')}" for t in tags}


def person_tags(tags: Sequence[CheckedTag], key: str = "person_id") -> str:
    """The select with a column per tag."""
    columns = "".join(f", {value} as {name(n)}" for n, value in values_of(tags).items())
    joins = " ".join(fact_join(over, "wide", "person_number") for over in fact_tables(tags))
    return f"select wide.{key}{columns} from {ref(WIDE)} as wide {joins}"


def unpivoted(tags: Sequence[CheckedTag]) -> str:
    """The select with a row per person and tag that says something; since when at most as_of."""
    values, rests = values_of(tags), rests_on(tags)
    conditions = conditions_of(tags, values)
    selects = []
    for tag in tags:
        value, parts = values[tag.name], rests[tag.name]
        table = fact_alias(tag.measure[0]) if tag.measure else "wide"
        source = f"{ref(fact_model(tag.measure[0]))} as {table}" if tag.measure else f"{ref(WIDE)} as wide"
        further = sorted({over for over, _ in parts if over} if not tag.measure else ())
        joins = " ".join(fact_join(over, "wide", "person_number") for over in further)
        at = [sql for _, sql in parts]
        since = at[0] if len(at) == 1 else f"greatest({', '.join(at)})"
        selects.append(
            f"select {table}.person_id, {text(tag.name)} as tag, {as_text(tag, value)} as value,"
            f" least({since}, {AS_OF}) as since_at from {source} {joins} where {conditions[tag.name]}"
        )
    return "\nunion all\n".join(selects) or constants(_ROW, [])


def conditions_of(tags: Sequence[CheckedTag], values: Mapping[str, str]) -> dict[str, str]:
    """The condition that each tag says something, over the same tables as its value; null counts as false."""
    moments = moments_of(tags)
    return {t.name: fact_assigned(t, moments[t.name]) if t.measure else assigned(t, values[t.name]) for t in tags}


def parts(tags: Sequence[CheckedTag]) -> list[Part]:
    """Tags with a history as bits: those of the wide table, and those over each table of facts."""
    values = values_of(tags)
    conditions = conditions_of(tags, values)
    found = []
    for over in (None, *fact_tables(tags)):
        own = [t for t in tags if (t.measure[0] if t.measure else None) == over and kept(t) != "none"]
        alias = fact_alias(over) if over else "wide"
        bits = tuple(bit for t in own for bit in _bits(t, values[t.name], conditions[t.name]))
        if bits:
            found.append(Part(over or "profile", bits, ref(fact_model(over) if over else WIDE), alias))
    return found


def _bits(tag: CheckedTag, value: str, condition: str) -> list[Bit]:
    """One bit, or one for each value where the declaration says which there are: kept as texts they take twenty times as long. A row
    of aggregates stays when the days of a tag begin or end, so it does not have the bits of such tags."""
    stored = not (tag.measure and tag.declaration and active(tag.declaration))
    if kept(tag) != "values":
        return [Bit(tag.name, condition, stored=stored)]
    if tag.type == "boolean":
        return [Bit(tag.name, condition, said="true", stored=stored)]
    said = values_said(tag)
    if said is None or len(said) > WORD:
        return [Bit(tag.name, condition, as_text(tag, value), stored=stored)]
    return [Bit(tag.name, f"{value} = {text(one)}", said=one, stored=stored) for one in said]


def values_said(tag: CheckedTag) -> list[str] | None:
    """The values of a text tag whose declaration names each of them, in order; None for any other."""
    if tag.cases:
        return sorted({value or "" for _, value in tag.cases} | ({tag.otherwise} if tag.otherwise else set()))
    if tag.value is None or tag.type != "text":
        return None
    whole = tag.value.sql.unnest()
    if not isinstance(whole, exp.Case):
        return None
    results = [branch.args["true"] for branch in whole.args["ifs"]] + [whole.args.get("default") or exp.null()]
    named = [result.unnest() for result in results]
    if not all(isinstance(n, exp.Null) or (isinstance(n, exp.Literal) and n.is_string) for n in named):
        return None
    return sorted({n.name for n in named if isinstance(n, exp.Literal) and n.name})
