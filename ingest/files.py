"""File sources: which files are new, and their rows as DuckDB relations, many small files at once.

A file is known by its path and by its content. One that only grew is read from where it ended; one whose content was
loaded before, under whatever name, is not read again; one that changed otherwise is read whole (later versions of a row
win downstream). A file that cannot be read at all goes to quarantine as one row and is tried again when it changes.
"""

from __future__ import annotations

import gzip
import hashlib
import tempfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from cdp.errors import ConfigurationError
from cdp.settings import Settings
from cdp.sources import Source, Table
from ingest.json_rows import read_json_rows
from ingest.typing import Rejected, literal, quoted

BATCH_BYTES = 48 * 1024 * 1024
BATCH_FILES = 400
CUT_OFF = "is cut off: the file's last line has no end"


@dataclass(frozen=True)
class Pending:
    """A file (or the new end of it) that is to be read. `start` is the first byte to read, `line` its line number."""

    origin: str
    path: Path
    size: int
    start: int = 0
    line: int = 1


@dataclass
class Batch:
    """Rows of one or more files in a relation."""

    relation: str
    fields: dict[str, str]
    rejected: list[Rejected]


@dataclass
class Manifest:
    """What was read before; lives in the pipeline's state, so it is committed with the rows."""

    files: dict[str, dict[str, Any]]
    digests: dict[str, str]
    superseded: list[tuple[str, int]] = field(default_factory=list)

    def pending(self, folder: Path, pattern: str) -> list[Pending]:
        """New work in the order of file names; notes what is known without reading where size and time are unchanged."""
        found: list[Pending] = []
        for path in sorted(p for p in folder.glob(pattern) if p.is_file()):
            origin, stat = str(path.relative_to(folder)), path.stat()
            before = self.files.get(origin)
            if before and before["size"] == stat.st_size and before["mtime"] == stat.st_mtime_ns:
                continue
            digest, prefix = _digests(path, before["size"] if before else 0)
            entry = {
                "size": stat.st_size,
                "mtime": stat.st_mtime_ns,
                "sha256": digest,
                "complete": stat.st_size,
                "lines": 0,
            }
            start, line = 0, 1
            if digest in self.digests:
                entry.update({k: before[k] for k in ("complete", "lines")} if before else {})
                self.files[origin] = entry
                continue
            if before and prefix == before["sha256"] and not path.name.endswith((".parquet", ".gz")):
                start, line = before["complete"], before["lines"] + 1
                if before["complete"] < before["size"]:
                    self.superseded.append((origin, line))
            self.files[origin] = entry
            self.digests[digest] = origin
            found.append(Pending(origin, path, stat.st_size, start, line))
        return found


def folder_of(source: Source, settings: Settings) -> Path:
    """The folder below which the source's files are; `{shared_data}` in `root` is the setting of that name."""
    if source.root is None:
        return settings.landing_path
    names = {name: str(getattr(settings, name)) for name in type(settings).model_fields}
    try:
        return settings.absolute(Path(source.root.format(**names)))
    except KeyError as error:
        raise ConfigurationError(
            f"root: unknown setting {error}",
            where=f"ingest/sources/{source.name}.yml",
            expected="the name of a setting",
        ) from None


def batches(con: duckdb.DuckDBPyConnection, files: list[Pending], table: Table, manifest: Manifest) -> Iterator[Batch]:
    """Read the files in groups of bounded size. Every row comes out once, in a relation or as rejected."""
    reader = {"jsonl": _json_batches, "csv": _csv_batches, "parquet": _parquet_batches}[table.format or "jsonl"]
    group: list[Pending] = []
    for file in files:
        if group and (
            sum(f.size - f.start for f in group) + file.size - file.start > BATCH_BYTES or len(group) >= BATCH_FILES
        ):
            yield from reader(con, group, table, manifest)
            group = []
        group.append(file)
    if group:
        yield from reader(con, group, table, manifest)


def _json_batches(
    con: duckdb.DuckDBPyConnection, files: list[Pending], table: Table, manifest: Manifest
) -> Iterator[Batch]:
    unreadable: list[Rejected] = []
    origins: list[pa.Array] = []
    positions: list[pa.Array] = []
    lines: list[pa.Array] = []
    torn: dict[tuple[str, int], None] = {}
    for file in files:
        try:
            data = _read(file)
            text = data.decode(table.encoding if table.encoding != "utf-8" or file.start else "utf-8-sig")
        except (OSError, EOFError, zlib.error) as error:
            unreadable.append(Rejected(file.origin, 0, f"the file cannot be read: {error}", file.origin))
            continue
        except UnicodeDecodeError:
            text = data.decode(table.encoding, errors="backslashreplace")
        split = text.split("\n")
        entry = manifest.files[file.origin]
        entry["lines"] = file.line - 1 + len(split) - 1
        if split[-1].strip():
            torn[(file.origin, file.line + len(split) - 1)] = None
        size = len(split)
        origins.append(pa.array([file.origin], pa.string()).take(pa.array([0] * size, pa.int32())))
        positions.append(pa.array(range(file.line, file.line + size), pa.int64()))
        lines.append(pa.array(split, pa.large_string()))
    if not lines:
        yield Batch("", {}, unreadable)
        return
    columns = [pa.chunked_array(origins), pa.chunked_array(positions), pa.chunked_array(lines)]
    numbered = pa.table(
        [pa.array(range(len(columns[2])), pa.int64()), *columns], ["_row", "_origin", "_position", "line"]
    )
    relation, fields, rejected = read_json_rows(con, numbered, table)
    for position, row in enumerate(rejected):
        if (row.origin, row.position) in torn:
            cut = len(row.original.encode(table.encoding))
            manifest.files[row.origin]["complete"] = manifest.files[row.origin]["size"] - cut
            rejected[position] = Rejected(row.origin, row.position, CUT_OFF, row.original)
            torn.pop((row.origin, row.position))
    for origin, _ in torn:
        manifest.files[origin]["lines"] += 1
    yield Batch(relation, fields, unreadable + rejected)


def _csv_batches(
    con: duckdb.DuckDBPyConnection, files: list[Pending], table: Table, manifest: Manifest
) -> Iterator[Batch]:
    with tempfile.TemporaryDirectory() as scratch:
        paths: dict[str, Pending] = {}
        unreadable: list[Rejected] = []
        for number, file in enumerate(files):
            try:
                path = _plain_csv(file, table, Path(scratch) / f"{number}.csv", manifest)
            except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
                unreadable.append(Rejected(file.origin, 0, f"the file cannot be read: {error}", file.origin))
                continue
            if path is not None:
                paths[str(path)] = file
        if unreadable:
            yield Batch("", {}, unreadable)
        if not paths:
            return
        # files are read together where their headers are the same: DuckDB reports rejected rows only then
        by_header: dict[str, dict[str, Pending]] = {}
        for name, file in paths.items():
            by_header.setdefault(_header(file.path, table), {})[name] = file
        for group in by_header.values():
            try:
                batch = _read_csv(con, group, table)
            except duckdb.Error:
                yield from _read_csv_alone(con, group, table)
            else:
                yield batch


def _read_csv_alone(con: duckdb.DuckDBPyConnection, paths: dict[str, Pending], table: Table) -> Iterator[Batch]:
    """One bad file fails a whole group: read each alone, so that only the bad one is set aside."""
    for name, file in paths.items():
        try:
            batch = _read_csv(con, {name: file}, table)
        except duckdb.Error as error:
            reason = f"the file cannot be read as CSV: {str(error).splitlines()[0][:200]}"
            batch = Batch("", {}, [Rejected(file.origin, 0, reason, file.origin)])
        yield batch


def _plain_csv(file: Pending, table: Table, scratch: Path, manifest: Manifest) -> Path | None:
    """The path DuckDB should read: the file itself, or a UTF-8 copy of its new part below its header."""
    if file.start == 0 and table.encoding == "utf-8" and not file.path.name.endswith(".gz"):
        if file.size == 0:
            return None
        with file.path.open("rb") as opened:
            opened.seek(max(0, file.size - 4096))
            end = opened.read()
        if not end.endswith(b"\n") and b"\n" in end:
            manifest.files[file.origin]["complete"] = file.size - len(end) + end.rfind(b"\n") + 1
        return file.path
    text = _read(file).decode("utf-8-sig" if table.encoding == "utf-8" else table.encoding)
    if not text.strip():
        return None
    if file.start:
        text = _header(file.path, table) + "\n" + text
    scratch.write_text(text, encoding="utf-8", newline="")
    return scratch


def _header(path: Path, table: Table) -> str:
    if path.name.endswith(".gz"):
        data = gzip.decompress(path.read_bytes())
    else:
        with path.open("rb") as opened:
            data = opened.readline()
    encoding = "utf-8-sig" if table.encoding == "utf-8" else table.encoding
    return data.decode(encoding, errors="replace").splitlines()[0] if data else ""


def _read_csv(con: duckdb.DuckDBPyConnection, paths: dict[str, Pending], table: Table) -> Batch:
    for name in ("reject_errors", "reject_scans"):
        con.execute(f"drop table if exists {name}")
    con.execute("create or replace temp table csv_files (path varchar, origin varchar, header varchar)")
    con.executemany(
        "insert into csv_files values (?, ?, ?)", [[p, f.origin, _header(f.path, table)] for p, f in paths.items()]
    )
    options = f", delim = {literal(table.delimiter)}" if table.delimiter else ""
    listed = "[" + ", ".join(literal(p) for p in paths) + "]"
    con.execute(
        f"""
        create or replace temp table csv_raw as
        select row_number() over () as _row, *
        from read_csv({listed}, all_varchar = true, header = true, filename = '_path',
            store_rejects = true, null_padding = false, max_line_size = 16777216{options})
        """
    )
    fields = {
        name: "VARCHAR"
        for (name,) in con.execute(
            "select column_name from duckdb_columns() where table_name = 'csv_raw' order by column_index"
        ).fetchall()
        if name not in ("_row", "_path")
    }
    columns = "".join(f", {quoted(name)}" for name in fields)
    pairs = ", ".join(f"{quoted(name)} := {quoted(name)}" for name in fields)
    con.execute(
        f"""
        create or replace temp table csv_rows as
        select _row, origin as _origin, _row - min(_row) over (partition by _path) + 1 as _position,
            to_json(struct_pack({pairs}))::varchar as _original{columns}
        from csv_raw inner join csv_files on csv_raw._path = csv_files.path
        """
    )
    rejected = [
        Rejected(*row)
        for row in con.execute(
            """
            select csv_files.origin, errors.line, min(errors.error_type || ': ' || split_part(errors.error_message, chr(10), 1)),
                any_value(errors.csv_line), any_value(csv_files.header)
            from reject_errors as errors
            inner join reject_scans as scans on errors.scan_id = scans.scan_id and errors.file_id = scans.file_id
            inner join csv_files on scans.file_path = csv_files.path
            group by all order by 1, 2
            """
        ).fetchall()
    ]
    return Batch("csv_rows", fields, rejected)


def _parquet_batches(
    con: duckdb.DuckDBPyConnection, files: list[Pending], table: Table, manifest: Manifest
) -> Iterator[Batch]:
    good: list[Pending] = []
    for file in files:
        try:
            con.execute("select count(*) from parquet_file_metadata(?)", [str(file.path)]).fetchall()
            good.append(file)
        except duckdb.Error as error:
            reason = f"the file cannot be read as Parquet: {str(error).splitlines()[0][:200]}"
            yield Batch("", {}, [Rejected(file.origin, 0, reason, file.origin)])
    if not good:
        return
    con.execute("create or replace temp table parquet_files (path varchar, origin varchar)")
    con.executemany("insert into parquet_files values (?, ?)", [[str(f.path), f.origin] for f in good])
    listed = "[" + ", ".join(literal(str(f.path)) for f in good) + "]"
    con.execute(
        f"""
        create or replace temp view parquet_raw as
        select * from read_parquet({listed}, union_by_name = true, filename = '_path', file_row_number = true)
        """
    )
    described = con.execute("describe parquet_raw").fetchall()
    fields = {name: landed_type(kind) for name, kind, *_ in described if name not in ("_path", "file_row_number")}
    columns = "".join(
        f", {quoted(name)}" if fields[name] == kind else f", {quoted(name)}::{fields[name]} as {quoted(name)}"
        for name, kind, *_ in described
        if name in fields
    )
    con.execute(
        f"""
        create or replace temp table parquet_rows as
        select row_number() over (order by parquet_files.origin, file_row_number) as _row, parquet_files.origin as _origin,
            file_row_number + 1 as _position, to_json(parquet_raw)::varchar as _original{columns}
        from parquet_raw inner join parquet_files on parquet_raw._path = parquet_files.path
        """
    )
    yield Batch("parquet_rows", fields, [])


def landed_type(kind: str) -> str:
    """The type in raw of a typed source's column."""
    if kind.endswith("]") or kind.startswith(("STRUCT", "MAP", "UNION", "VARIANT")):
        return "JSON"
    if kind in ("TINYINT", "SMALLINT", "INTEGER", "UTINYINT", "USMALLINT", "UINTEGER", "BIGINT", "UBIGINT"):
        return "BIGINT"
    if kind == "FLOAT" or kind.startswith("DECIMAL"):
        return "DOUBLE"
    if kind.startswith("TIMESTAMP"):
        return "TIMESTAMP WITH TIME ZONE"
    return kind if kind in ("DOUBLE", "BOOLEAN", "DATE") else "VARCHAR"


def _digests(path: Path, prefix: int) -> tuple[str, str]:
    """SHA-256 of the file and of its first `prefix` bytes."""
    whole, head, left = hashlib.sha256(), hashlib.sha256(), prefix
    with path.open("rb") as file:
        while chunk := file.read(1024 * 1024):
            whole.update(chunk)
            if left > 0:
                head.update(chunk[:left])
                left -= len(chunk)
    return whole.hexdigest(), head.hexdigest()


def _read(file: Pending) -> bytes:
    if file.path.name.endswith(".gz"):
        return gzip.decompress(file.path.read_bytes())
    with file.path.open("rb") as opened:
        opened.seek(file.start)
        return opened.read()
