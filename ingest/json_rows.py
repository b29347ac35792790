"""JSON objects, one a line, as a relation that `ingest.typing.type_rows` takes. DuckDB parses them; Python sees no row."""

from __future__ import annotations

from dataclasses import dataclass

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from cdp.sources import Table
from ingest.typing import OVERFLOW, Field, Rejected, Relation, column_name, literal

# Objects whose keys are data ({"u_17": ..., "u_18": ...}) would make a column of each: beyond this many, the objects
# that have rarer keys are kept whole in `_cdp_rest`.
MAX_COLUMNS = 2500
RELATION = "cdp_lines"

_WHOLE = {"BIGINT", "UBIGINT"}  # DuckDB's names for the kinds of JSON numbers


@dataclass(frozen=True)
class Lines:
    """Lines of one origin. `numbers` are their positions in it."""

    origin: str
    numbers: pa.Array
    texts: pa.Array


def cut_lines(origin: str, data: bytes, first: int, ends: npt.NDArray[np.int64] | None = None) -> Lines:
    """The lines of `data`, which ends with a line's end or is its last line, without copying it.

    `ends`: where they end, if that is known. Raises pyarrow.ArrowInvalid where it is not UTF-8.
    """
    if ends is None:
        ends = np.flatnonzero(np.frombuffer(data, np.uint8) == 10) + 1
    if not len(ends) or ends[-1] != len(data):
        ends = np.append(ends, len(data))
    offsets = np.zeros(len(ends) + 1, np.int64)
    offsets[1:] = ends
    texts = pa.LargeStringArray.from_buffers(len(ends), pa.py_buffer(offsets), pa.py_buffer(data))
    texts.validate(full=True)
    return Lines(origin, arrow_numbers(np.arange(first, first + len(ends), dtype=np.int64)), texts)


def arrow_numbers(numbers: npt.NDArray[np.int64]) -> pa.Int64Array:
    """A numpy array as Arrow: pyarrow.array would import pandas to look at it (1.2 s)."""
    return pa.Int64Array.from_buffers(pa.int64(), len(numbers), [None, pa.py_buffer(numbers)])


def json_relation(
    con: duckdb.DuckDBPyConnection, pieces: list[Lines], table: Table, known: set[str]
) -> tuple[Relation, list[Rejected]]:
    """The relation over lines, and the lines that are no JSON object. Blank lines are passed over.

    Declared fields and those of `known` columns stay text (their type is given later); others get the type that all
    their values share, else text. The relation holds until the next call.
    """
    count = register_lines(con, pieces)
    con.execute(
        f"""
        create or replace temp table json_checked as
        select _row, case when starts_with(ltrim(line, e' \\t\\r\\n'), '{{') then try(json_keys(line)) end as keys
        from {RELATION}
        """
    )
    bad = con.execute(
        f"""
        select _row, _origin, _position, rtrim(line, e'\\r\\n'), case
            when trim(line, e' \\t\\r\\n') = '' then null
            when json_valid(line) then 'is JSON but not an object'
            else 'is not valid JSON'
        end
        from {RELATION} semi join (select _row from json_checked where keys is null) using (_row) order by _row
        """
    ).fetchall()
    rejected = [Rejected(origin, position, why, text) for _, origin, position, text, why in bad if why]
    keys, is_cut = _keys(con, table, known)
    types = _infer(con, [k for k in keys if not _is_known(k, table, known)])
    fields = [Field(key, f"f{number}", "VARCHAR", types.get(key)) for number, key in enumerate(keys)]
    paths = ", ".join(literal(_pointer(key)) for key in keys)
    columns = "".join(f", found[{number}] as {f.column}" for number, f in enumerate(fields, 1))
    if is_cut:
        rest = f"len(list_intersect(json_keys(line), [{', '.join(map(literal, keys))}])) < len(json_keys(line))"
        columns += f", case when {rest} then trim(line, e' \\r\\n') end as rest"
        fields.append(Field(OVERFLOW, "rest", "VARCHAR"))
    readable = "_row in (select _row from json_checked where keys is not null)" if bad else "true"
    found = f", json_extract_string(line, [{paths}]) as found" if keys else ""
    sql = (
        f"select _row, _origin, _position, rtrim(line, e'\\r\\n') as _original, null::varchar as _header{columns} "
        f"from (select *{found} from {RELATION} where {readable})"
    )
    return Relation(sql, fields, count), rejected


def register_lines(con: duckdb.DuckDBPyConnection, pieces: list[Lines]) -> int:
    """Make the relation `cdp_lines` (_row, _origin, _position, line); returns the number of lines."""
    count = sum(len(piece.texts) for piece in pieces)
    origins = [
        pa.DictionaryArray.from_arrays(
            pa.Int32Array.from_buffers(
                pa.int32(), len(p.texts), [None, pa.py_buffer(np.zeros(len(p.texts), np.int32))]
            ),
            pa.array([p.origin], pa.string()),
        )
        for p in pieces
    ]
    columns = [
        arrow_numbers(np.arange(count, dtype=np.int64)),
        pa.chunked_array(origins),
        pa.chunked_array([p.numbers for p in pieces], pa.int64()),
        pa.chunked_array([p.texts for p in pieces], pa.large_string()),
    ]
    con.register(RELATION, pa.table(columns, ["_row", "_origin", "_position", "line"]))
    return count


def _keys(con: duckdb.DuckDBPyConnection, table: Table, known: set[str]) -> tuple[list[str], bool]:
    """The keys of all objects in a stable order, at most as many as make columns; and whether some were left out."""
    found = con.execute(
        "select key, count(*) from (select unnest(keys) as key from (select keys from json_checked)) "
        "group by key order by 2 desc, 1"
    ).fetchall()
    keys = [key for key, _ in found]
    if len(keys) > MAX_COLUMNS:
        wanted = [key for key in keys if _is_known(key, table, known)]
        others = [key for key in keys if not _is_known(key, table, known)]
        return sorted(wanted + others[: max(0, MAX_COLUMNS - len(wanted))]), True
    return sorted(keys), False


def _is_known(key: str, table: Table, known: set[str]) -> bool:
    return key in table.columns or column_name(key) in known or key in {c.from_field for c in table.columns.values()}


def _pointer(key: str) -> str:
    """The JSON pointer (RFC 6901) of a key: unlike DuckDB's `$.key` paths it can say every key, the empty one too."""
    return "/" + key.replace("~", "~0").replace("/", "~1")


def _infer(con: duckdb.DuckDBPyConnection, keys: list[str]) -> dict[str, str]:
    """The DuckDB types of keys whose values are all of one kind."""
    if not keys:
        return {}
    con.execute("create or replace temp table json_new_keys (key varchar, pointer varchar)")
    con.execute("insert into json_new_keys select unnest($1), unnest($2)", [keys, [_pointer(key) for key in keys]])
    found = con.execute(
        f"""
        select key, list(distinct json_type(line, pointer))
        from (select _row, unnest(keys) as key from json_checked)
        inner join json_new_keys using (key) inner join {RELATION} using (_row)
        group by key order by key
        """
    ).fetchall()
    return {key: _type_of({kind for kind in kinds if kind != "NULL"}) for key, kinds in found}


def _type_of(kinds: set[str]) -> str:
    if kinds == {"BOOLEAN"}:
        return "BOOLEAN"
    if kinds and kinds <= _WHOLE:
        return "BIGINT"
    return "DOUBLE" if kinds and kinds <= _WHOLE | {"DOUBLE"} else "VARCHAR"
