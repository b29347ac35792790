"""CSV (RFC 4180) as a relation that `ingest.typing.type_rows` takes.

Rows with quotes are cut by Python's csv module, which counts lines and keeps to quotes; large pieces without any are cut
by DuckDB (four times as fast). A row that does not fit is given back as the text it was, and reading goes on after it.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from dataclasses import dataclass, field, replace
from pathlib import Path

import duckdb
import pyarrow as pa

from cdp.sources import Table
from ingest.json_rows import MAX_COLUMNS, Lines, register_lines
from ingest.json_rows import RELATION as LINES
from ingest.pieces import MAX_LINE_BYTES, Unreadable
from ingest.typing import Field, Rejected, Relation, literal

HEADER_BYTES = 1024 * 1024
RELATION = "csv_lines"
# what `errors="surrogateescape"` makes of bytes that are not of the encoding
_ESCAPED = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class Header:
    """The first row: names in order, its text, and where the rows begin (bytes, lines)."""

    names: tuple[str, ...]
    delimiter: str
    text: str
    size: int
    lines: int


@dataclass
class Rows:
    """Rows of files with one header, to be landed together. `texts` are the rows as they were written."""

    header: Header
    values: list[list[str]] = field(default_factory=list)
    origins: list[str] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)


def read_header(path: Path, table: Table, encoding: str) -> Header | None:
    """The header of a file; None when there is none yet (an empty file, or the header's line has no end).

    Raises Unreadable when the first row cannot be the header of this table.
    """
    with path.open("rb") as file:
        data = file.read(HEADER_BYTES)
    bom = len(codecs.BOM_UTF8) if data.startswith(codecs.BOM_UTF8) else 0
    text = data[bom:].decode(encoding, errors="replace")
    if not text.strip() or (len(data) < HEADER_BYTES and "\n" not in text.lstrip()):
        return None
    header = header_of(text, table)
    if "\ufffd" in header.text:
        raise Unreadable(f"its first line is not {encoding}")
    size = len("".join(list(io.StringIO(text, newline="\n"))[: header.lines]).encode(encoding))
    return replace(header, size=bom + size)


def header_of(text: str, table: Table) -> Header:
    """The header with which a text begins; blank lines before it are passed over. Raises Unreadable when it has none."""
    lines = list(io.StringIO(text, newline="\n"))
    blank = next(number for number, line in enumerate(lines) if line.strip())
    delimiter = table.delimiter or max(",;\t|", key=lambda d: (lines[blank].count(d), d == ","))
    reader = csv.reader(iter(lines[blank:]), delimiter=delimiter, strict=True)
    try:
        names = tuple(name.strip() for name in next(reader))
    except (csv.Error, StopIteration):
        raise Unreadable("its first line is no header: its quotes do not end") from None
    fields = {column.from_field or name for name, column in table.columns.items()}
    if not fields & set(names):
        some = ", ".join(sorted(fields)[:5])
        raise Unreadable(f"its first line is no header: it names none of the declared columns ({some}, ...)")
    if len(names) > MAX_COLUMNS:
        raise Unreadable(f"has {len(names)} columns; at most {MAX_COLUMNS} are landed")
    count = blank + reader.line_num
    return Header(names, delimiter, "".join(lines[blank:count]).rstrip("\r\n"), 0, count)


def add_rows(rows: Rows, data: bytes, encoding: str, origin: str, line: int, *, is_last: bool) -> bytes:
    """Add the rows of `data` (whole lines, `line` is the first one's number) to `rows`.

    Returns the bytes of a row that is not complete yet: empty unless quotes are open at the end. A row whose quotes
    swallow the lines after it, or that has too many or too few values, is rejected by its first line alone; reading goes
    on with the second.
    """
    text, is_damaged = _decoded(data, encoding)
    csv.field_size_limit(MAX_LINE_BYTES)
    lines = _Lines(list(io.StringIO(text, newline="\n")))
    width = len(rows.header.names)
    reader = csv.reader(lines, delimiter=rows.header.delimiter, strict=True)
    while True:
        start = lines.next
        values: list[str] = []
        try:
            values = next(reader)
        except StopIteration:
            return b""
        except csv.Error as error:
            if lines.next == len(lines.all) and "unexpected end" in str(error) and not is_last:
                rest = "".join(lines.all[start:]).encode(encoding, "surrogateescape")
                if len(rest) < MAX_LINE_BYTES:
                    return rest
            reason = f"its quotes are not right: {error}"
        else:
            row = lines.all[start] if lines.next == start + 1 else "".join(lines.all[start : lines.next])
            if is_damaged and _ESCAPED.search(row):
                reason = f"is not {encoding}"
            elif len(values) == width:
                rows.values.append(values)
                rows.origins.append(origin)
                rows.positions.append(line + start)
                rows.texts.append(row)
                continue
            else:
                reason = _wrong_width(len(values), width)
        first = lines.all[start].rstrip("\r\n")
        if first.strip(" "):
            original = first.encode(encoding, "surrogateescape").decode(encoding, "backslashreplace")
            rows.rejected.append(Rejected(origin, line + start, reason, original, rows.header.text))
        if lines.next > start + 1:
            lines.next = start + 1
            reader = csv.reader(lines, delimiter=rows.header.delimiter, strict=True)


def _decoded(data: bytes, encoding: str) -> tuple[str, bool]:
    try:
        return data.decode(encoding), False
    except UnicodeDecodeError:
        return data.decode(encoding, errors="surrogateescape"), True


def csv_relation(con: duckdb.DuckDBPyConnection, rows: Rows) -> Relation:
    """The relation over rows; it holds until the next call."""
    count = len(rows.values)
    names = ["_row", "_origin", "_position", "_original"]
    columns: list[pa.Array] = [
        pa.array(range(count), pa.int64()),
        pa.array(rows.origins, pa.string()).dictionary_encode(),
        pa.array(rows.positions, pa.int64()),
        pa.array(rows.texts, pa.large_string()),
    ]
    fields = [Field(name, f"f{number}", "VARCHAR") for number, name in enumerate(rows.header.names)]
    columns += [pa.array(values, pa.large_string()) for values in zip(*rows.values, strict=True)]
    con.register(RELATION, pa.table(columns, names + [f.column for f in fields]))
    listed = "".join(f", {f.column}" for f in fields)
    sql = (
        f"select _row, _origin, _position, rtrim(_original, e'\\r\\n') as _original, "
        f"{literal(rows.header.text)} as _header{listed} from {RELATION}"
    )
    return Relation(sql, fields, count)


def can_be_split(data: bytes) -> bool:
    """Whether every line is a row whose values lie between delimiters: no quotes, no line ends of other kinds."""
    return b'"' not in data and data.count(b"\r") == data.count(b"\r\n")


def split_relation(
    con: duckdb.DuckDBPyConnection, pieces: list[Lines], header: Header
) -> tuple[Relation, list[Rejected]]:
    """The relation over lines of files with one header, all of which `can_be_split`; it holds until the next call.

    Gives the rows that have too many or too few values, too. Blank lines are passed over.
    """
    count = register_lines(con, pieces)
    width = len(header.names)
    found = f"string_split(rtrim(line, e'\\r\\n'), {literal(header.delimiter)})"
    bad = con.execute(
        f"select _origin, _position, len({found}), rtrim(line, e'\\r\\n') from {LINES} "
        f"where len({found}) <> {width} and trim(line, e' \\r\\n') <> '' order by _row"
    ).fetchall()
    rejected = [Rejected(o, p, _wrong_width(n, width), text, header.text) for o, p, n, text in bad]
    fields = [Field(name, f"f{number}", "VARCHAR") for number, name in enumerate(header.names)]
    listed = "".join(f", found[{number}] as {f.column}" for number, f in enumerate(fields, 1))
    sql = (
        f"select _row, _origin, _position, rtrim(line, e'\\r\\n') as _original, {literal(header.text)} as _header{listed} "
        f"from (select *, {found} as found from {LINES}) where len(found) = {width} and trim(line, e' \\r\\n') <> ''"
    )
    return Relation(sql, fields, count), rejected


def _wrong_width(found: int, width: int) -> str:
    return f"has {found} values, the header names {width} columns"


class _Lines:
    """Lines for csv.reader, which takes as many as a row needs; `next` can be set back."""

    def __init__(self, lines: list[str]) -> None:
        self.all = lines
        self.next = 0

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        if self.next >= len(self.all):
            raise StopIteration
        self.next += 1
        return self.all[self.next - 1]
