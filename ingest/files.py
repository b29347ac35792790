"""From files to batches: relations of bounded size, and what of the files cannot be read."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb

from cdp.sources import Table
from ingest.csv_rows import (
    Header,
    Rows,
    add_rows,
    can_be_split,
    csv_relation,
    read_header,
    split_relation,
)
from ingest.json_rows import Lines, json_relation
from ingest.manifest import Manifest, Pending
from ingest.parquet_rows import parquet_relations
from ingest.pieces import (
    CUT_OFF,
    UNREADABLE,
    Piece,
    Unreadable,
    decoded,
    is_of_the_machine,
    is_whole,
    pieces,
    plain_path,
    reason_of,
    text_encoding,
    too_long,
)
from ingest.typing import Rejected, Relation

BATCH_BYTES = 32 * 1024 * 1024
# values of CSV are Python objects for a moment: about six times the text
CSV_BATCH_BYTES = 8 * 1024 * 1024
# below this it does not matter who cuts the rows
SPLIT_BYTES = 1024 * 1024


@dataclass
class Batch:
    """Rows of one or more files, and what could not be read. The relation holds until the next batch is asked for."""

    relation: Relation | None
    rejected: list[Rejected]


def batches(
    con: duckdb.DuckDBPyConnection, files: list[Pending], table: Table, manifest: Manifest, known: dict[str, str]
) -> Iterator[Batch]:
    """Read the files. Every row comes out once, in a relation or as rejected. `known`: columns landed so far (it may
    grow from batch to batch)."""
    if table.format == "parquet":
        yield from _parquet_batches(con, files, manifest)
        return
    reader = _JsonReader(con, table, manifest, known) if table.format == "jsonl" else _CsvReader(con, table, manifest)
    with tempfile.TemporaryDirectory(prefix="cdp-") as scratch:
        for file in files:
            try:
                path = plain_path(file, table, Path(scratch))
                yield from reader.read(file, path)
            except (Unreadable, *UNREADABLE) as error:
                if is_of_the_machine(error):
                    raise
                yield _set_aside(file, error, manifest)
        yield from reader.flush()


def _parquet_batches(con: duckdb.DuckDBPyConnection, files: list[Pending], manifest: Manifest) -> Iterator[Batch]:
    for file in files:
        try:
            for relation in parquet_relations(con, file.path, file.origin):
                yield Batch(relation, [])
            manifest.read_to(file, complete=file.size, lines=0, landed=False)
        except Unreadable as error:
            yield _set_aside(file, error, manifest)


def _set_aside(file: Pending, error: BaseException, manifest: Manifest) -> Batch:
    manifest.set_aside(file)
    reason = str(error) if isinstance(error, Unreadable) else reason_of(error)
    return Batch(None, [Rejected(file.origin, 0, f"the file {reason}", file.origin)])


class _JsonReader:
    """Gathers lines of files until they make a batch."""

    def __init__(self, con: duckdb.DuckDBPyConnection, table: Table, manifest: Manifest, known: dict[str, str]) -> None:
        self._con, self._table, self._manifest, self._known = con, table, manifest, known
        self._lines: list[Lines] = []
        self._rejected: list[Rejected] = []
        self._tails: dict[tuple[str, int], tuple[Pending, int]] = {}
        self._bytes = 0

    def read(self, file: Pending, path: Path) -> Iterator[Batch]:
        """Add one file; gives the batches that became full."""
        is_copy = is_whole(file, self._table)
        encoding = text_encoding(self._table)
        for piece in pieces(path, file.start, file.line, None if is_copy else file.size):
            self._add(piece, file, encoding, is_copy)
            if self._bytes >= BATCH_BYTES:
                yield from self.flush()

    def flush(self) -> Iterator[Batch]:
        """What was gathered."""
        rejected, relation = self._rejected, None
        if self._lines:
            relation, unreadable = json_relation(self._con, self._lines, self._table, set(self._known))
            rejected = rejected + unreadable
        for number, row in enumerate(rejected):
            if (row.origin, row.position) in self._tails:
                file, size = self._tails.pop((row.origin, row.position))
                self._manifest.read_to(file, complete=file.size - size, lines=row.position - 1, landed=False)
                rejected[number] = replace(row, reason=CUT_OFF)
        for (_, line), (file, size) in self._tails.items():
            self._manifest.read_to(file, complete=file.size - size, lines=line - 1, landed=True)
        self._lines, self._rejected, self._tails, self._bytes = [], [], {}, 0
        if relation or rejected:
            yield Batch(relation, rejected)

    def _add(self, piece: Piece, file: Pending, encoding: str, is_copy: bool) -> None:
        if piece.too_long:
            self._rejected.append(too_long(piece, file.origin, encoding))
            return
        lines, rejected = decoded(piece, file.origin, encoding)
        self._rejected += rejected
        if lines:
            self._lines.append(lines)
            self._bytes += len(piece.data)
        if piece.is_last:
            if piece.data and not is_copy:
                self._tails[(file.origin, piece.line)] = (file, len(piece.data))
            else:
                self._manifest.read_to(file, complete=file.size, lines=piece.line - 1, landed=False)


class _CsvReader:
    """Gathers rows of files with the same header until they make a batch."""

    def __init__(self, con: duckdb.DuckDBPyConnection, table: Table, manifest: Manifest) -> None:
        self._con, self._table, self._manifest = con, table, manifest
        self._rows: Rows | None = None
        self._bytes = 0

    def read(self, file: Pending, path: Path) -> Iterator[Batch]:
        """Add one file; gives the batches that became full."""
        encoding = text_encoding(self._table)
        header = read_header(path, self._table, encoding)
        if header is None:
            self._manifest.read_to(file, complete=0, lines=0, landed=False)
            return
        start, line = (file.start, file.line) if file.start else (header.size, header.lines + 1)
        is_copy = is_whole(file, self._table)
        carry, carry_line = b"", line
        for piece in pieces(path, start, line, None if is_copy else file.size):
            if self._rows and (self._rows.header.text != header.text or self._bytes >= CSV_BATCH_BYTES):
                yield from self.flush()
            rows = self._rows = self._rows or Rows(header)
            if piece.too_long:
                rows.rejected.append(replace(too_long(piece, file.origin, encoding), header=header.text))
                carry, carry_line = b"", piece.line + 1
                continue
            if not piece.is_last and not carry and len(piece.data) >= SPLIT_BYTES and can_be_split(piece.data):
                yield from self._split(piece, header, file, encoding)
                continue
            data = carry + piece.data
            first = carry_line if carry else piece.line
            carry = add_rows(rows, data, encoding, file.origin, first, is_last=piece.is_last)
            carry_line = first + data[: len(data) - len(carry)].count(b"\n")
            self._bytes += len(data)
            if piece.is_last:
                self._note_end(rows, file, data, first, encoding, is_copy)

    def flush(self) -> Iterator[Batch]:
        """What was gathered."""
        rows, self._rows, self._bytes = self._rows, None, 0
        if rows and (rows.values or rows.rejected):
            yield Batch(csv_relation(self._con, rows) if rows.values else None, rows.rejected)

    def _split(self, piece: Piece, header: Header, file: Pending, encoding: str) -> Iterator[Batch]:
        """A batch of its own, after what was gathered: rows keep their order."""
        yield from self.flush()
        lines, rejected = decoded(piece, file.origin, encoding)
        rejected = [replace(row, header=header.text) for row in rejected]
        relation = None
        if lines:
            relation, unreadable = split_relation(self._con, [lines], header)
            rejected += unreadable
        yield Batch(relation, rejected)

    def _note_end(self, rows: Rows, file: Pending, data: bytes, line: int, encoding: str, is_copy: bool) -> None:
        lines = line - 1 + data.count(b"\n")
        if is_copy or not data or data.endswith(b"\n"):
            self._manifest.read_to(file, complete=file.size, lines=lines, landed=False)
            return
        tail, landed = data[data.rfind(b"\n") + 1 :], False
        if rows.rejected and (rows.rejected[-1].origin, rows.rejected[-1].position) == (file.origin, lines + 1):
            rows.rejected[-1] = replace(rows.rejected[-1], reason=CUT_OFF)
        elif rows.texts and not rows.texts[-1].endswith("\n"):  # the row may have begun some lines before
            tail, landed, lines = rows.texts[-1].encode(encoding), True, rows.positions[-1] - 1
        self._manifest.read_to(file, complete=file.size - len(tail), lines=lines, landed=landed)
