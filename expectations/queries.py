"""Checks the query of an `unexpected_rows` check with sqlglot, and writes it as Great Expectations takes it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache, reduce

import sqlglot
from sqlglot import exp
from sqlglot.errors import OptimizeError, ParseError, SqlglotError
from sqlglot.optimizer.qualify import qualify

from cdp.declarations import suggest

BATCH = "batch"
_CLOCK = {
    "now", "today", "get_current_time", "get_current_timestamp", "current_date", "current_time", "current_timestamp",
    "localtime", "localtimestamp", "current_localtime", "current_localtimestamp", "transaction_timestamp",
}  # fmt: skip
_CHANCE = {"rand", "random", "uuid", "uuidv4", "uuidv7", "gen_random_uuid", "setseed", "nextval", "currval"}
_COLON = exp.Anonymous(this="chr", expressions=[exp.Literal.number(58)])
_OUTSIDE = {"getenv", "getvariable", "current_setting", "query", "query_table", "read_csv", "read_text", "read_blob"}


class QueryError(ValueError):
    """A query cannot be used; the message completes "expected: ..."."""


def check_query(text: str, schemas: Sequence[str], tables: Mapping[str, Mapping[str, tuple[str, ...] | None]]) -> None:
    """Raise QueryError unless `text` is one read-only query over `batch` and tables of `schemas`.

    `tables` is {schema: {table: its columns, or None when they are not declared}}, with the suite's own table as
    {"": {"batch": ...}}. Column names are checked when the columns of every table in the query are declared.
    """
    tree = _parsed(text)
    ctes = {cte.alias for cte in tree.find_all(exp.CTE)}
    used: dict[str, tuple[str, ...] | None] = {}
    for table in tree.find_all(exp.Table):
        if not isinstance(table.this, exp.Identifier):
            raise QueryError("tables of the warehouse, not a table function")
        if not table.db and table.name in ctes:
            continue
        if not table.db and table.name != BATCH:
            raise QueryError(f'"{BATCH}" for the suite\'s table and <schema>.<table> for others, not "{table.name}"')
        if table.catalog or (table.db and table.db not in schemas):
            raise QueryError(
                f'a schema among {", ".join(schemas)}, not "{table.db}"; {suggest(table.db, list(schemas))}'
            )
        used[f"{table.db}.{table.name}".lstrip(".")] = tables.get(table.db, {}).get(table.name)
    if BATCH not in used:
        raise QueryError(f'a query over "{BATCH}", which stands for the suite\'s table')
    _check_functions(tree)
    for parameter in tree.find_all(exp.Placeholder, exp.Parameter):
        if parameter.name != "as_of":
            raise QueryError(f'no parameter but $as_of, found "{parameter.sql(dialect="duckdb")}"')
    if all(columns is not None for columns in used.values()):
        _check_columns(tree, {name: columns or () for name, columns in used.items()})


def compiled(text: str, as_of: datetime) -> str:
    """The query for `UnexpectedRowsExpectation`: `{batch}` filled in by Great Expectations, `$as_of` by us.

    It yields the number 1 for each row found: Great Expectations fetches up to 200 rows of it into this process, and
    the rows themselves must stay in the warehouse.
    """
    tree = _parsed(text)
    now = as_of.astimezone(UTC) if as_of.tzinfo else as_of
    moment = exp.cast(exp.Literal.string(now.strftime("%Y-%m-%d %H:%M:%S.%f")), "timestamp")
    query = tree.transform(lambda node: _filled(node, moment))
    found = exp.select(exp.alias_(exp.Literal.number(1), "unexpected")).from_(query.subquery("found"))
    inner = found.sql(dialect="duckdb", comments=False).replace("{", "{{").replace("}", "}}")
    return f"with {BATCH} as (select * from {{batch}}) {inner}"


def _filled(node: exp.Expression, moment: exp.Expression) -> exp.Expression:
    if isinstance(node, exp.Placeholder | exp.Parameter):
        return moment.copy()
    if isinstance(node, exp.Literal) and node.is_string and ":" in node.this:
        # The query goes through SQLAlchemy's text(), which takes `:space` of `[[:space:]]` for a parameter.
        parts = [part for text in node.this.split(":") for part in (exp.Literal.string(text), _COLON.copy())][:-1]
        return exp.Paren(this=reduce(lambda left, right: exp.DPipe(this=left, expression=right, safe=True), parts))
    return node


@lru_cache(maxsize=512)
def _parsed(text: str) -> exp.Query:
    try:
        statements = [s for s in sqlglot.parse(text, dialect="duckdb") if s is not None]
    except ParseError as error:
        first = error.errors[0] if error.errors else {}
        what = str(first.get("description", "the query cannot be read")).split(" but got")[0].rstrip(".")
        raise QueryError(f"a query that DuckDB can read: {what} (line {first.get('line', 1)} of the query)") from None
    except SqlglotError:
        raise QueryError("a query that DuckDB can read") from None
    if len(statements) != 1 or not isinstance(statements[0], exp.Query):
        raise QueryError("one select")
    tree = statements[0]
    if tree.find(exp.DML, exp.DDL, exp.Command, exp.Into) not in (None, tree):
        raise QueryError("one select that changes nothing")
    return tree


def _check_functions(tree: exp.Query) -> None:
    for function in tree.find_all(exp.Func):
        name = (function.name if isinstance(function, exp.Anonymous) else function.sql_name()).lower()
        if name in _CLOCK:
            raise QueryError(f'$as_of, not the clock ("{name}"): the same data must give the same result')
        if name in _CHANCE:
            raise QueryError(f'no chance ("{name}"): the same data must give the same result')
        if name in _OUTSIDE:
            raise QueryError(f'tables of the warehouse only, not "{name}"')


def _check_columns(tree: exp.Query, used: Mapping[str, tuple[str, ...]]) -> None:
    schema: dict[str, dict[str, dict[str, str]]] = {}
    for name, columns in used.items():
        database, _, table = name.rpartition(".")
        schema.setdefault(database or "main", {})[table] = dict.fromkeys(columns, "text")
    try:
        qualify(tree.copy(), schema=schema, dialect="duckdb", db="main", quote_identifiers=False)
    except OptimizeError as error:
        known = sorted({column for columns in used.values() for column in columns})
        unknown = re.search(r"Column '?\"?([\w.]+)", str(error))
        found = unknown.group(1).rpartition(".")[2] if unknown else ""
        hint = f"; {suggest(found, known)}" if found and suggest(found, known) else ""
        raise QueryError(f"columns that the tables have: {str(error).splitlines()[0].rstrip('.')}{hint}") from None
