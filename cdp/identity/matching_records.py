"""Reads a file of records for `cdp identity match`, and says clearly what is wrong with it.

Messages hold positions, counts and names of columns, never values.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from cdp.declarations import suggest
from cdp.errors import CdpError
from cdp.identity.matching_model import MatchingModel

if TYPE_CHECKING:
    import duckdb

RECORDS = "matching_input"


class RecordsError(CdpError):
    """The file of records cannot be used."""

    exit_code = 2


def read_records(con: duckdb.DuckDBPyConnection, path: Path, model: MatchingModel, truth: str | None) -> int:
    """Makes the table `matching_input` (record_id, the model's source columns, `truth`), all text. Returns the number of rows.

    Names of columns are taken without spaces around them. Raises RecordsError.
    """
    import duckdb

    if not path.is_file():
        raise RecordsError("there is no such file", where=str(path))
    if not path.stat().st_size:
        raise RecordsError("the file is empty", where=str(path), expected="records with a header")
    try:
        con.execute(f"create or replace temp table {RECORDS}_raw as select * from {_reader(path)}", [str(path)])
    except (duckdb.Error, UnicodeDecodeError) as error:
        raise RecordsError(
            f"cannot be read: {_reason(error)}",
            where=str(path),
            expected="a Parquet file, or CSV in UTF-8 with a header",
        ) from None
    names = [row[0] for row in con.execute(f"describe {RECORDS}_raw").fetchall()]
    found = {name.strip(): name for name in names}
    wanted = ["record_id", *model.source_columns, *([truth] if truth else [])]
    for name in wanted:
        if name not in found:
            raise RecordsError(
                f'there is no column "{name}"',
                where=str(path),
                expected=f"the columns {', '.join(dict.fromkeys(wanted))}",
                fix=suggest(name, list(found)) or f"the file has {', '.join(found)}",
            )
    selected = [f"{_quoted(found[name])}::varchar as {_quoted(name)}" for name in dict.fromkeys(wanted[: len(wanted)])]
    selected[0] = f"nullif(trim({_quoted(found['record_id'])}::varchar), '') as record_id"
    con.execute(f"create or replace temp table {RECORDS} as select {', '.join(selected)} from {RECORDS}_raw")
    con.execute(f"drop table {RECORDS}_raw")
    _check_ids(con, path)
    return int(con.execute(f"select count(*) from {RECORDS}").fetchall()[0][0])


def _check_ids(con: duckdb.DuckDBPyConnection, path: Path) -> None:
    rows, ids, distinct = con.execute(
        f"select count(*), count(record_id), count(distinct record_id) from {RECORDS}"
    ).fetchall()[0]
    if not rows:
        raise RecordsError("the file has a header and no rows", where=str(path), expected="records")
    if ids < rows or distinct < ids:
        condition = "record_id is null" if ids < rows else "n > 1"
        positions = con.execute(
            f"select position from (select record_id, rowid + 1 as position, count(*) over (partition by record_id) as n from {RECORDS}) "
            f"where {condition} order by 1 limit 5"
        ).fetchall()
        what = f"{rows - ids} rows have no record_id" if ids < rows else f"{ids - distinct} rows repeat a record_id"
        raise RecordsError(
            f"{what}: among them row {', '.join(str(p) for (p,) in positions)}",
            where=str(path),
            expected="a record_id in every row, each one once",
            fix="number the rows, or leave repeats out",
        )


def _reader(path: Path) -> str:
    if path.suffix.lower() in (".parquet", ".pq"):
        return "read_parquet(?)"
    if path.suffix.lower() in (".csv", ".tsv", ".txt", ".gz"):
        return "read_csv(?, all_varchar = true, header = true)"
    raise RecordsError(f'"{path.suffix}" is not read', where=str(path), expected=".parquet, .csv, .tsv or .csv.gz")


def _reason(error: Exception) -> str:
    """The first line of DuckDB's message with the line's number, without the line's text."""
    text = str(error)
    line = re.search(r"[Ll]ine:? (\d+)", text)
    first = re.sub(r'["\'].*', "", text.splitlines()[0]).strip(" :")
    return f"{first} (line {line.group(1)})" if line else first


def _quoted(name: str) -> str:
    from sqlglot import exp

    return exp.to_identifier(name, quoted=True).sql("duckdb")
