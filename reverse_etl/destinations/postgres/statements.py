"""The statements: each takes one parameter, the rows as a JSON list, and goes over all of them at once.

Rows are taken in key order, so that two runs that write to one table wait for each other instead of blocking both.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import LiteralString

from psycopg import sql

from reverse_etl.destinations.postgres.table import Table


def upsert(table: Table, columns: Sequence[str]) -> sql.Composed:
    """Insert, or update what differs. Rows that are as they should be are not written again."""
    others = [name for name in columns if name not in table.key]
    if not others:
        return insert(table, columns)
    return sql.SQL("{} on conflict ({}) do update set {} where {}").format(
        _insert(table, columns),
        _names(table.key),
        sql.SQL(", ").join(sql.SQL("{0} = excluded.{0}").format(sql.Identifier(name)) for name in others),
        sql.SQL(" or ").join(
            sql.SQL("t.{0} is distinct from excluded.{0}").format(sql.Identifier(name)) for name in others
        ),
    )


def insert(table: Table, columns: Sequence[str]) -> sql.Composed:
    """Insert what is not there."""
    return sql.SQL("{} on conflict ({}) do nothing").format(_insert(table, columns), _names(table.key))


def update(table: Table, columns: Sequence[str]) -> sql.Composed:
    """Update what is there; gives the positions of the rows that were found."""
    others = [name for name in columns if name not in table.key] or list(table.key)
    return sql.SQL("update {} as t set {} from {} where {} returning r._n").format(
        table.name,
        sql.SQL(", ").join(sql.SQL("{0} = r.{0}").format(sql.Identifier(name)) for name in others),
        _records(table, columns),
        _same_key(table),
    )


def delete(table: Table) -> sql.Composed:
    """Delete by key."""
    return sql.SQL("delete from {} as t using {} where {}").format(
        table.name, _records(table, table.key), _same_key(table)
    )


def read(table: Table, columns: Sequence[str]) -> sql.Composed:
    """(position, the table's values, ours after conversion) of the rows that are there."""

    def values(of: LiteralString) -> sql.Composed:
        pairs = [
            sql.SQL("{}, {}").format(sql.Literal(name), sql.SQL(".").join([sql.SQL(of), sql.Identifier(name)]))
            for name in columns
        ]
        return sql.SQL("jsonb_build_object({})").format(sql.SQL(", ").join(pairs))

    return sql.SQL("select r._n, {}, {} from {} as t, {} where {}").format(
        values("t"), values("r"), table.name, _records(table, columns), _same_key(table)
    )


def _insert(table: Table, columns: Sequence[str]) -> sql.Composed:
    return sql.SQL("insert into {} as t ({}) select {} from {} order by {}").format(
        table.name, _names(columns), _names(columns), _records(table, columns), _names(table.key)
    )


def _records(table: Table, columns: Iterable[str]) -> sql.Composed:
    """The parameter as a relation `r`. The types are written by Postgres itself (format_type)."""
    typed = [sql.SQL("{} {}").format(sql.Identifier(name), sql.SQL(table.types[name])) for name in columns]
    return sql.SQL("jsonb_to_recordset(%s::jsonb) as r({})").format(sql.SQL(", ").join([sql.SQL("_n integer"), *typed]))


def _same_key(table: Table) -> sql.Composed:
    return sql.SQL(" and ").join(sql.SQL("t.{0} = r.{0}").format(sql.Identifier(name)) for name in table.key)


def _names(columns: Iterable[str]) -> sql.Composed:
    return sql.SQL(", ").join(map(sql.Identifier, columns))
