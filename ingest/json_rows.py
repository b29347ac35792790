"""JSON objects, one a row, as a DuckDB relation that `ingest.typing.type_rows` takes. Lines are parsed in the warehouse."""

from __future__ import annotations

import duckdb
import pyarrow as pa

from cdp.sources import Table
from ingest.typing import Rejected, literal, quoted

_INFERRED = {
    frozenset({"BIGINT"}): "BIGINT",
    frozenset({"UBIGINT"}): "BIGINT",
    frozenset({"BIGINT", "UBIGINT"}): "BIGINT",
    frozenset({"DOUBLE"}): "DOUBLE",
    frozenset({"BIGINT", "DOUBLE"}): "DOUBLE",
    frozenset({"UBIGINT", "DOUBLE"}): "DOUBLE",
    frozenset({"BIGINT", "UBIGINT", "DOUBLE"}): "DOUBLE",
    frozenset({"BOOLEAN"}): "BOOLEAN",
}


def read_json_rows(
    con: duckdb.DuckDBPyConnection, lines: pa.Table, table: Table
) -> tuple[str, dict[str, str], list[Rejected]]:
    """Make the relation `json_rows` from `lines` (_row, _origin, _position, line).

    Returns its name, its fields with their types, and the lines that are no JSON object. Declared fields stay text (their
    type is given later); undeclared ones get the type all their values share, else text.
    """
    con.register("incoming_lines", lines)
    con.execute(
        """
        create or replace temp table parsed as
        select _row, _origin, _position, line, case when json_valid(line) then json_type(line) = 'OBJECT' else false end as is_object
        from incoming_lines
        where trim(line) <> ''
        """
    )
    con.unregister("incoming_lines")
    rejected = [
        Rejected(origin, position, reason, line)
        for origin, position, line, reason in con.execute(
            """
            select _origin, _position, line,
                case when json_valid(line) then 'is JSON but not an object' else 'is not valid JSON' end
            from parsed where not is_object order by _row
            """
        ).fetchall()
    ]
    keys = [k for (k,) in con.execute("select distinct unnest(json_keys(line)) from parsed where is_object order by 1").fetchall()]
    declared = {c.from_field or n for n, c in table.columns.items()}
    undeclared = [k for k in keys if k not in declared]
    types = _infer(con, undeclared)
    fields = {k: types.get(k, "VARCHAR") for k in keys}
    paths = "[" + ", ".join(literal(_path(k)) for k in keys) + "]"
    columns = "".join(
        f", vals[{i}]{'' if fields[k] == 'VARCHAR' else f'::{fields[k]}'} as {quoted(k)}" for i, k in enumerate(keys, 1)
    )
    source = f"select *, json_extract_string(line, {paths}) as vals from parsed where is_object" if keys else "from parsed"
    con.execute(
        f"create or replace temp table json_rows as select _row, _origin, _position, line as _original{columns} from ({source})"
    )
    return "json_rows", fields, rejected


def _path(key: str) -> str:
    escaped = key.replace("\\", "\\\\").replace('"', '\\"')
    return f'$."{escaped}"'


def _infer(con: duckdb.DuckDBPyConnection, keys: list[str]) -> dict[str, str]:
    if not keys:
        return {}
    found = con.execute(
        "select "
        + ", ".join(f"list(distinct json_type(line, {literal(_path(k))}))" for k in keys)
        + " from parsed where is_object"
    ).fetchall()[0]
    return {k: _INFERRED.get(frozenset(t for t in kinds if t and t != "NULL"), "VARCHAR") for k, kinds in zip(keys, found, strict=True)}
