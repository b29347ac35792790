"""Rows of anybody's file (CSV, Parquet, JSON lines) for a table model. What cannot be used is set aside with its reason.

A row of a CSV whose cells are all empty but the first is a row that was written as one quoted field, or an id without
anything else; both are quarantined with the row's number and its text, so that they can be mended and read again.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa
from sqlglot import exp

from cdp.declarations import suggest
from cdp.errors import ConfigurationError, DeclarationError
from predictions.declaration import TableModel

READERS = {
    ".csv": "read_csv({path}, header = true, all_varchar = true, null_padding = true, parallel = false{more})",
    ".tsv": "read_csv({path}, delim = '\t', header = true, all_varchar = true, null_padding = true, parallel = false{more})",
    ".parquet": "read_parquet({path})",
    ".jsonl": "read_json({path}, format = 'newline_delimited')",
    ".ndjson": "read_json({path}, format = 'newline_delimited')",
}
# a text column is a number when nearly all of its values are, and there are more of them than a code would have
NUMERIC_SHARE, NUMERIC_VALUES = 0.99, 10
ONE_FIELD = "the whole row is one quoted field"


@dataclass(frozen=True)
class FileRows:
    """A file in DuckDB: table `usable` (row_no and the columns as text, missing as null), `quarantined` (row_no, reason,
    row_text)."""

    con: duckdb.DuckDBPyConnection
    path: Path
    columns: tuple[str, ...]

    def count(self, table: str) -> int:
        """Rows of `usable` or `quarantined`."""
        # fetched whole: a result of which a part is left blocks the connection
        return int(self.con.execute(f"select count(*) from {_name(table)}").fetchall()[0][0])

    def reasons(self) -> dict[str, int]:
        """Reasons of quarantine and their counts."""
        rows = self.con.execute("select reason, count(*) from quarantined group by 1 order by 1").fetchall()
        return {str(r): int(n) for r, n in rows}

    def write_quarantine(self, path: Path) -> None:
        """Write the rows that were set aside as CSV; nothing when there are none."""
        if self.count("quarantined"):
            self.con.execute(f"copy (from quarantined order by row_no) to {_text(str(path))} (header, delimiter ',')")


def open_file(path: Path, model: TableModel, *, label: str | None) -> FileRows:
    """Read a file. `label`: the column of the outcome, whose rows without one are set aside; None when scoring.

    Raises ConfigurationError when the file cannot be read, DeclarationError when it lacks a column.
    """
    con = duckdb.connect(config={"threads": 2})
    reader = READERS.get(path.suffix.lower())
    if reader is None or not path.is_file():
        raise ConfigurationError(
            "cannot be read" if reader else f"is no kind of file that is read ({path.suffix or 'no suffix'})",
            where=str(path),
            expected="an existing file: " + ", ".join(READERS),
            fix="check the path",
        )
    try:
        source = reader.format(path=_text(str(path)), more="")
        con.execute(f"create table source as select row_number() over () as row_no, * from {source}")
    except duckdb.Error as error:
        raise ConfigurationError(
            f"cannot be read: {str(error).splitlines()[0][:200]}", where=str(path), fix="check the file's format"
        ) from None
    columns = tuple(str(r[0]) for r in con.execute("describe source").fetchall())[1:]
    for needed in [model.id, *([label] if label else [])]:
        if needed not in columns:
            raise DeclarationError(
                f'there is no column "{needed}"',
                where=str(path),
                expected="one of " + ", ".join(columns),
                fix=suggest(needed, list(columns)),
            )
    found = FileRows(con, path, columns)
    _clean(found, model, label)
    return found


def outcome(column: str, model: TableModel) -> str:
    """SQL: 1, 0, or null when the text means neither."""
    value = f"lower(trim({_name(column)}))"
    return f"case when {value} in ({_list(model.positive)}) then 1 when {value} in ({_list(model.negative)}) then 0 end"


def features_of(rows: FileRows, model: TableModel, label: str) -> tuple[list[str], list[str]]:
    """(numbers, texts) among the features, by what the usable rows hold. Raises DeclarationError for an unknown feature."""
    named = {model.id, label, *model.ignore, *model.filled_later}
    wanted = [c for c in rows.columns if c not in named] if model.features == "all" else list(model.features)
    unknown = [f for f in [*wanted, *model.ignore, *model.filled_later] if f not in rows.columns]
    if unknown:
        raise DeclarationError(
            f"there is no column {', '.join(unknown)}",
            where=str(rows.path),
            expected="one of " + ", ".join(rows.columns),
            fix=suggest(unknown[0], list(rows.columns)),
        )
    if label in wanted:
        raise DeclarationError(f'"{label}" is the label and a feature', where="features", fix="take it out of features")
    numbers: list[str] = []
    texts: list[str] = []
    for feature in wanted:
        column = _name(feature)
        [(known, numeric, values)] = rows.con.execute(
            f"select count({column}), count(try_cast({column} as double)), count(distinct try_cast({column} as double)) from usable"
        ).fetchall()
        if not known:
            continue  # says nothing of any row
        is_number = numeric >= NUMERIC_SHARE * known and values >= NUMERIC_VALUES
        (numbers if is_number else texts).append(feature)
    return numbers, texts


def table_of(rows: FileRows, numbers: tuple[str, ...], texts: tuple[str, ...], more: dict[str, str]) -> pa.Table:
    """The usable rows in the file's order: `more` (column: SQL) and the features as double and string."""
    columns = [f"{sql} as {_name(name)}" for name, sql in more.items()]
    columns += [f"try_cast({_name(n)} as double) as {_name(n)}" for n in numbers]
    columns += [f"cast({_name(t)} as varchar) as {_name(t)}" for t in texts]
    return rows.con.sql(f"select {', '.join(columns)} from usable order by row_no").to_arrow_table()


def _clean(rows: FileRows, model: TableModel, label: str | None) -> None:
    con = rows.con
    cells = {
        c: f"case when lower(trim(cast({_name(c)} as varchar))) not in ({_list(model.missing)})"
        f" then trim(cast({_name(c)} as varchar)) end"
        for c in rows.columns
    }
    con.execute(
        "create table cleaned as select row_no, "
        + ", ".join(f"{sql} as {_name(c)}" for c, sql in cells.items())
        + " from source"
    )
    others = " and ".join(f"{_name(c)} is null" for c in rows.columns if c != model.id) or "false"
    id_ = _name(model.id)
    reasons = [
        f"when {others} and contains(coalesce({id_}, ''), ',') then {_text(ONE_FIELD)}",
        f"when {others} then 'blank but for its id'",
        f"when {id_} is null then 'no {model.id.replace(chr(39), '')}'",
    ]
    if label:
        reasons.append(f"when {outcome(label, model)} is null then 'the outcome is neither yes nor no'")
    # the text of a row that is one quoted field is the row itself: put into a file under the same header it can be read
    cells_as_json = ", ".join(f"{_name(c)} := source.{_name(c)}" for c in rows.columns)
    text = f"case when reason = {_text(ONE_FIELD)} then source.{id_} else to_json(struct_pack({cells_as_json}))::varchar end"
    con.execute(
        f"create table judged as select row_no, case {' '.join(reasons)} end as reason from cleaned;"
        f" create table quarantined as select row_no, reason, {text} as row_text from source"
        " join judged using (row_no) where reason is not null;"
        " create table usable as select cleaned.* from cleaned join judged using (row_no) where reason is null"
    )


def _list(values: list[str]) -> str:
    return ", ".join(_text(v.strip().lower()) for v in values) or "null"


def _name(text: str) -> str:
    return exp.to_identifier(text, quoted=True).sql(dialect="duckdb")


def _text(value: str) -> str:
    return exp.Literal.string(value).sql(dialect="duckdb")
