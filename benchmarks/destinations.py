"""How fast destinations write, against the usual way to do the same with the same library on the same machine.

    python -m benchmarks.destinations [--rows 100000]

`postgres`: rows of ten fields into a table by the client (a batch of 1,000 is one statement over JSON), then again with one
row in a hundred changed, against psycopg's `executemany` of one upsert a row in the same transactions. Needs `postgres`,
`initdb` and `pg_ctl` on the PATH. `parquet` and `csv`: the files that `s3` uploads, against pyarrow and csv on
values that are there already. Prints JSON.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import io
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from reverse_etl.catalog import MappedField, destination
from reverse_etl.declaration import FieldMap
from reverse_etl.destination import Batch, Row
from reverse_etl.destination_spec import FieldRule, FieldType
from reverse_etl.pace import Pace

TYPES: dict[str, FieldType] = {
    "id": "text", "first_name": "text", "last_name": "text", "phone": "text", "city": "text", "score": "number",
    "is_vip": "boolean", "born_on": "date", "seen_at": "datetime", "orders": "integer",
}  # fmt: skip
FIELDS = [MappedField(name, FieldMap(column=name), FieldRule(type=kind), kind, True) for name, kind in TYPES.items()]
BATCH = 1_000


def payload(number: int, changed: bool) -> dict[str, Any]:
    """One row as a plan writes it."""
    return {
        "id": f"p{number:08d}", "first_name": f"First {number % 1000}", "last_name": f"Last {number % 5000}",
        "phone": f"+86138{number:08d}", "city": f"City {number % 300}", "is_vip": number % 2 == 0,
        "score": float(number % 97) + (changed and number % 100 == 0), "born_on": f"19{60 + number % 40}-01-02",
        "seen_at": f"2026-01-01T00:{number % 60:02d}:00.000Z", "orders": number % 13,
    }  # fmt: skip


def batches(rows: int, *, changed: bool) -> list[Batch]:
    """All rows in batches of 1,000."""
    whole = [Row(f"k{n}", "update", json.dumps(payload(n, changed))) for n in range(rows)]
    return [
        Batch("bench", "rows", "upsert", whole[start : start + BATCH], {}, "2026-01-01T00:00:00", "")
        for start in range(0, rows, BATCH)
    ]


@contextlib.contextmanager
def server() -> Iterator[int]:
    """A Postgres of our own on a free loopback port, durable as it comes; it does not run as root."""
    as_user = ["runuser", "-u", "nobody", "--"] if os.geteuid() == 0 else []
    folder = Path(tempfile.mkdtemp(prefix="cdp-pg-"))
    folder.chmod(0o777)
    data = str(folder / "data")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])

    def run(*command: str) -> None:
        found = shutil.which(command[0])
        if found is None:
            raise SystemExit(f"no {command[0]} on the PATH")
        subprocess.run([*as_user, found, *command[1:]], check=True, capture_output=True, cwd="/")

    run("initdb", "-D", data, "-U", "cdp", "-A", "trust")
    run("pg_ctl", "-D", data, "-l", str(folder / "log"), "-o", f"-p {port} -h 127.0.0.1 -k {folder}", "-w", "start")
    try:
        yield port
    finally:
        run("pg_ctl", "-D", data, "-m", "immediate", "stop")
        shutil.rmtree(folder, ignore_errors=True)


def seconds(work: Callable[[], Any]) -> float:
    """Wall time."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def postgres(rows: int) -> dict[str, Any]:
    """Rows a second of both ways, first into an empty table, then with one row in a hundred changed."""
    import psycopg
    from psycopg import sql

    from reverse_etl.destinations.postgres.client import connect

    settings = {"host": "127.0.0.1", "database": "postgres", "user": "cdp", "password": "", "sslmode": "disable"}
    spec = destination("postgres")
    names = list(TYPES)
    statement = sql.SQL("insert into plain ({}) values ({}) on conflict (id) do update set {}").format(
        sql.SQL(", ").join(map(sql.Identifier, names)),
        sql.SQL(", ").join(sql.Placeholder() * len(names)),
        sql.SQL(", ").join(sql.SQL("{0} = excluded.{0}").format(sql.Identifier(name)) for name in names[1:]),
    )
    found: dict[str, Any] = {"rows": rows}
    with server() as port:
        client = connect(spec, {**settings, "port": str(port), "sslrootcert": ""}, Pace(spec.retry))
        client.prepare("rows", FIELDS, {"table": "ours", "key": "id", "create": "yes"})
        with psycopg.connect(f"host=127.0.0.1 port={port} dbname=postgres user=cdp", autocommit=True) as con:
            con.execute("create table plain (like ours including all)")
            for name, changed in (("first", False), ("one_percent_changed", True)):
                made = batches(rows, changed=changed)
                ours = seconds(lambda made=made: [client.write(each) for each in made])  # type: ignore[misc]
                values = [[tuple(row.payload[n] for n in names) for row in each.rows] for each in made]

                def plainly(values: list[list[tuple[Any, ...]]] = values) -> None:
                    for each in values:
                        with con.transaction(), con.cursor() as cursor:
                            cursor.executemany(statement, each)

                plain = seconds(plainly)
                same = con.execute(
                    "select count(*) from (select * from ours except select * from plain) as different"
                ).fetchall()
                assert same == [(0,)], "both tables hold the same"
                found[name] = {
                    "rows_a_second": round(rows / ours),
                    "executemany_rows_a_second": round(rows / plain),
                    "times_as_fast": round(plain / ours, 2),
                }
        client.close()
    return found


def files(rows: int) -> dict[str, Any]:
    """Rows a second of the files, and of the libraries below them on values that are parsed already."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from reverse_etl.destinations.files import csv_bytes, parquet_bytes

    def fresh() -> list[Row]:
        return [row for each in batches(rows, changed=False) for row in each.rows]

    def plain_parquet() -> None:
        pq.write_table(pa.Table.from_pylist(parsed), io.BytesIO(), compression="zstd")

    def plain_csv() -> None:
        csv.DictWriter(io.StringIO(), list(TYPES)).writerows(parsed)

    # Arrow's first array costs an import of pandas, which is there for other parts.
    parquet_bytes([row for each in batches(10, changed=False) for row in each.rows], TYPES, with_operation=False)
    parsed, for_parquet, for_csv = [dict(row.payload) for row in fresh()], fresh(), fresh()
    ours = {
        "parquet": seconds(lambda: parquet_bytes(for_parquet, TYPES, with_operation=False)),
        "csv": seconds(lambda: csv_bytes(for_csv, list(TYPES), with_operation=False)),
    }
    plain = {"parquet": seconds(plain_parquet), "csv": seconds(plain_csv)}
    return {
        kind: {
            "rows_a_second": round(rows / ours[kind]),
            "times_as_fast_as_library": round(plain[kind] / ours[kind], 2),
        }
        for kind in ours
    }


def main() -> None:
    """Both, as JSON."""
    parser = argparse.ArgumentParser(description="How fast destinations write.")
    parser.add_argument("--rows", type=int, default=5_000)
    rows = parser.parse_args().rows
    print(json.dumps({"postgres": postgres(rows), "files": files(rows)}, indent=2))


if __name__ == "__main__":
    main()
