"""Questions about segments that the built warehouse answers: how many, who, why, and how they overlap.

Expressions are checked against the tables as they are, not against YAML: what is asked need not be declared or compiled.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

import sqlglot
from sqlglot import exp

from cdp.errors import ConfigurationError, DeclarationError
from dbt_declarations.contracts import Column, Type, column_type
from dbt_declarations.expressions import check
from dbt_declarations.functions import DIALECT
from dbt_declarations.predicted import TABLES as PREDICTED
from dbt_declarations.predicted import columns_of
from dbt_declarations.project import PROFILE, UNNAMED
from dbt_declarations.scope import AS_OF, ExpressionError, Scope
from dbt_declarations.sql import render
from dbt_declarations.value_types import Typed, show
from dbt_declarations.wide import base

if TYPE_CHECKING:
    import duckdb

_IN = "(select person_id from segments.int_segments__members where segment = '{}')"


@dataclass(frozen=True)
class Leaf:
    """One condition of an expression. `word`: what joins it to its siblings; `holds` None: unknown (a null)."""

    depth: int
    text: str
    holds: bool | None
    values: tuple[tuple[str, Any], ...] = ()


@dataclass(frozen=True)
class Warehouse:
    """A connection and what expressions may name in it. `as_of`: the moment that counts as now, ISO 8601 in UTC."""

    con: duckdb.DuckDBPyConnection
    as_of: str
    scope: Scope
    tables: dict[str, str]

    @classmethod
    def open(cls, con: duckdb.DuckDBPyConnection, as_of: str) -> Warehouse:
        """Read the catalogue. Raises ConfigurationError when segments have not been built yet."""
        columns: dict[str, dict[str, Column]] = {}
        tables: dict[str, str] = {}
        for schema, table, column, kind in con.execute(
            "select schema_name, table_name, column_name, data_type from duckdb_columns() where not internal"
            " order by schema_name, table_name, column_index"
        ).fetchall():
            tables[table] = f'"{schema}"."{table}"'
            columns.setdefault(table, {})[column] = Column(column, column_type(kind))
        if "segment_membership" not in tables:
            raise ConfigurationError("segments are not built yet", where=as_of, fix="run `cdp run` first")

        def of(table: str) -> dict[str, Column]:
            return {n: c for n, c in columns.get(table, {}).items() if n not in UNNAMED}

        def names(sql: str) -> list[str]:
            return [str(n) for (n,) in con.execute(sql).fetchall()]

        segments = frozenset(names("select segment from segments.segment"))
        parts: tuple[tuple[str, Type], ...] = (("stage", "text"), ("entered_at", "timestamp"))
        stages = {
            f"{model}_{part}": Column(f"{model}_{part}", kind)
            for model in names("select distinct model from profiles.lifecycle_stage order by 1")
            for part, kind in parts
        }
        scores: dict[str, Column] = {}
        for score in names("select distinct score from scores.score_grade order by 1"):
            scores |= {score: Column(score, "number"), f"{score}_grade": Column(f"{score}_grade", "text")}
        namespaces: dict[str, dict[str, Column]] = {n: of(table) for n, table in PROFILE.items()}
        namespaces |= {"lifecycle": stages, "tag": of("person_tags"), "score": scores}
        for namespace, table in PREDICTED.items():
            scored = names(f"select distinct model from {tables[table]} order by 1") if table in tables else []
            namespaces |= {namespace: columns_of(dict.fromkeys(scored, (namespace, True)))[namespace]}
        namespaces["segment"] = {n: Column(n, "boolean") for n in sorted(segments)}
        listed = names("select distinct list from segments.person_list order by 1") if "person_list" in tables else []
        return cls(con, as_of, Scope(namespaces, segments=segments, lists=frozenset(listed)), tables)

    def typed(self, expression: str, where: str) -> Typed:
        """A checked condition. Raises DeclarationError that names `where`."""
        return self.value(expression, where, "boolean")

    def value(self, expression: str, where: str, *wanted: Type) -> Typed:
        """A checked expression of one of the wanted types, or of any. Raises DeclarationError that names `where`."""
        try:
            return check(expression, self.scope, wanted)
        except ExpressionError as error:
            raise DeclarationError(error.what, where=where, expected=error.expected, fix=error.fix) from None

    def sql(self, text: str) -> str:
        """Generated SQL as this warehouse runs it: names of models become tables, as_of a constant."""

        def table(found: re.Match[str]) -> str:
            name = found[1]
            segment = name.removeprefix("segment_")
            return _IN.format(segment) if segment in self.scope.segments and segment != name else self.tables[name]

        text = re.sub(r'"?\bref__(\w+)"?', table, text)
        return text.replace(AS_OF, f"(timestamp '{self.as_of.replace('T', ' ')}')")


def count(warehouse: Warehouse, expression: str) -> tuple[int, int]:
    """How many persons an expression holds for, and how many there are."""
    typed = warehouse.typed(expression, "--where")
    # persons come from tags when nothing else is read: that table has the audience already
    only_tags = {n for n, _ in typed.reads} == {"tag"}
    listed = ", ".join(f'"{c}" as "tag__{c}"' for _, c in sorted(typed.reads))
    source = f"select {listed} from ref__person_tags" if only_tags else base(typed.reads)
    rows = warehouse.con.execute(
        warehouse.sql(
            f"with base as ({source}) select count(*) filter (where coalesce({render(typed)}, false)), count(*) from base"
        )
    ).fetchall()
    return int(rows[0][0]), int(rows[0][1])


def person(warehouse: Warehouse, named: str) -> str:
    """The person_id of a person_id or identifier. Raises DeclarationError when nobody or several have it."""
    rows = warehouse.con.execute(
        "select distinct person_id from identity.person_identifier where person_id = ? or identifier_value in (?, lower(?))"
        " order by person_id limit 3",
        [named, named, named],
    ).fetchall()
    if len(rows) != 1:
        found = "nobody has" if not rows else "several persons have"
        raise DeclarationError(
            f"{found} this person_id or identifier",
            where="PERSON",
            expected="a person_id, or an identifier as identity holds it (an e-mail in lower case, a phone as +86...)",
        )
    return str(rows[0][0])


def explain(warehouse: Warehouse, person_id: str, expression: str, where: str) -> list[Leaf]:
    """The conditions of an expression one by one, for one person, outermost first."""
    found: list[tuple[int, str, Typed]] = []
    _split(warehouse, sqlglot.parse_one(expression, dialect=DIALECT), 0, where, found)
    reads = sorted({r for _, _, typed in found for r in typed.reads})
    wanted = [render(typed) for _, _, typed in found] + [f'"{n}__{c}"' for n, c in reads]
    sql = f"with base as ({base(reads)}) select {', '.join(wanted)} from base where person_id = ?"
    rows = warehouse.con.execute(warehouse.sql(sql), [person_id]).fetchall()
    if not rows:
        return []
    values = dict(zip(reads, rows[0][len(found) :], strict=True))
    return [
        Leaf(depth, text, rows[0][n], tuple((f"{ns}.{c}", values[ns, c]) for ns, c in sorted(typed.reads)))
        for n, (depth, text, typed) in enumerate(found)
    ]


def _split(
    warehouse: Warehouse, node: exp.Expression, depth: int, where: str, found: list[tuple[int, str, Typed]]
) -> None:
    """The node itself, and below `and`, `or` and `not` its parts."""
    found.append((depth, show(node, most=200), warehouse.typed(node.sql(DIALECT), where)))
    inner = node.unnest() if isinstance(node, exp.Paren) else node
    parts: Iterable[exp.Expression] = ()
    if isinstance(inner, exp.And | exp.Or):
        parts = inner.flatten()
    elif isinstance(inner, exp.Not):
        parts = (inner.this,)
    for part in parts:
        _split(warehouse, part.unnest(), depth + 1, where, found)


def sizes(warehouse: Warehouse) -> list[tuple[str, str | None, str | None, int, int, int]]:
    """Each segment: owner, what it is part of, members, how many entered and left in the last run."""
    return warehouse.con.execute(
        """
        with last as (select max(greatest(entered_at, coalesce(exited_at, entered_at))) as at from segments.segment_membership)
        select
            s.segment, s.owner, s.part_of,
            count(m.person_id) filter (where m.exited_at is null),
            count(m.person_id) filter (where m.entered_at = last.at),
            count(m.person_id) filter (where m.exited_at = last.at)
        from segments.segment as s
        cross join last
        left join segments.segment_membership as m on s.segment = m.segment
        group by all
        order by s.segment
        """
    ).fetchall()


def members(warehouse: Warehouse, segment: str, on: date | None) -> list[tuple[str, Any]]:
    """Persons of a segment with the start of their stay: now, or at the end of a day (UTC) in the past."""
    known(warehouse, segment)
    moment = "exited_at is null" if on is None else "entered_at < ? and (exited_at is null or exited_at >= ?)"
    given: list[Any] = [segment] if on is None else [segment, *[date.fromordinal(on.toordinal() + 1)] * 2]
    return warehouse.con.execute(
        "select person_id, min(entered_at) from segments.segment_membership"
        f" where segment = ? and {moment} group by person_id order by 1",
        given,
    ).fetchall()


def overlap(warehouse: Warehouse, segments: list[str]) -> tuple[list[str], list[list[int]]]:
    """Names, and how many persons each pair shares; the diagonal is the size."""
    for name in segments:
        known(warehouse, name)
    rows = warehouse.con.execute(OVERLAP).fetchall()
    names = segments or sorted({a for a, _, _ in rows})
    shared = {(a, b): int(n) for a, b, n in rows}
    return names, [[shared.get((a, b), 0) for b in names] for a in names]


def known(warehouse: Warehouse, segment: str) -> None:
    """Raises DeclarationError when there is no such segment."""
    if segment not in warehouse.scope.segments:
        from cdp.declarations import suggest

        names = sorted(warehouse.scope.segments)
        raise DeclarationError(
            f'unknown segment "{segment}"',
            where="SEGMENT",
            expected="one of " + ", ".join(names),
            fix=suggest(segment, names),
        )


OVERLAP = """
    with members as (select segment, person_id from segments.segment_membership where exited_at is null)
    select a.segment, b.segment, count(*) from members as a inner join members as b using (person_id)
    group by all order by all
"""
