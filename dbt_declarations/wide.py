"""One row per person with every column that a set of expressions reads: the base of each wide pass."""

from __future__ import annotations

from collections.abc import Iterable

from dbt_declarations.predicted import TABLES, output_of
from dbt_declarations.sql import name, ref, text

_SIMPLE = {"trait": "person_traits", "touch": "person_touch", "rfm": "person_rfm", "tag": "person_tags"}

NUMBERED_TAGS = "int_tags__tags_numbered"


def base(
    reads: Iterable[tuple[str, str]],
    extra_columns: Iterable[str] = (),
    extra_joins: Iterable[str] = (),
    *,
    numbered: bool = False,
) -> str:
    """The select of the base: columns are named `<namespace>__<column>`, each table is joined once if it is read.

    Only persons of the audience have a row. Each joined table has at most one row per person (or account). `numbered`: with the
    person's number (models/profiles/person_number.sql), by which what is generated is joined: in a third of the time.
    """
    columns: dict[str, None] = {"person.person_id": None}
    key = "person_id"
    if numbered:
        key = "person_number"
        columns["person.person_number"] = None
    joins: dict[str, None] = {f"inner join {ref('audience')} as audience on audience.{key} = person.{key}": None}
    for namespace, column in sorted(set(reads)):
        source, join = _place(namespace, column)
        if numbered and namespace == "tag":
            join = _join(NUMBERED_TAGS, "tag", key=key)
        columns[f"{source} as {name(f'{namespace}__{column}')}"] = None
        if join:
            joins[join] = None
    columns.update(dict.fromkeys(extra_columns))
    joins.update(dict.fromkeys(extra_joins))
    listed = ",\n".join(columns)
    return f"select {listed}\nfrom {ref('person')} as person\n" + "\n".join(joins)


def _place(namespace: str, column: str) -> tuple[str, str]:
    """SQL of the column, and join of a column of a namespace."""
    if namespace == "person":
        return f"person.{name(column)}", ""
    if namespace == "account":
        return f"account.{name(column)}", _join("account", "account", key="account_key")
    if namespace == "lifecycle":
        source = "stage" if column.endswith("_stage") else "entered_at"
        model = column.removesuffix(f"_{source}")
        alias = f"lifecycle_{model}"
        return f"{name(alias)}.{source}", _join("person_lifecycle", alias, only=f"model = '{model}'")
    if namespace == "score":
        score, source = (column.removesuffix("_grade"), "grade") if column.endswith("_grade") else (column, "points")
        alias = f"score_{score}"
        return f"{name(alias)}.{source}", _join("person_score", alias, only=f"score = '{score}'")
    if namespace in TABLES:
        model, source = output_of(column)
        alias = f"{namespace}_{model}"
        key = "account_key" if namespace == "account_prediction" else "person_id"
        return f"{name(alias)}.{source}", _join(TABLES[namespace], alias, key=key, only=f"model = {text(model)}")
    if namespace == "segment":
        alias = f"segment_{column}"
        distinct = f"left join (select distinct person_id from {ref(alias)}) as {name(alias)}"
        join = f"{distinct} on {name(alias)}.person_id = person.person_id"
        return f"({name(alias)}.person_id is not null)", join
    if namespace == "list":
        alias = name(f"list_{column}")
        listed = f"select distinct person_id from {ref('person_list')} where list = {text(column)}"
        join = f"left join ({listed}) as {alias} on {alias}.person_id = person.person_id"
        return f"({alias}.person_id is not null)", join
    return f"{namespace}.{name(column)}", _join(_SIMPLE[namespace], namespace)


def _join(model: str, alias: str, *, key: str = "person_id", only: str = "") -> str:
    condition = f"{name(alias)}.{key} = person.{key}"
    narrowed = f" and {name(alias)}.{only}" if only else ""
    return f"left join {ref(model)} as {name(alias)} on {condition}{narrowed}"
