"""How fast files land: web events as JSON lines (about 650 bytes each) and till receipts as CSV, through to `raw`.

    python -m benchmarks.ingest [--rows 1000000] [--threads 1]

The input is made with DuckDB in a temporary folder, the measured run is a process of its own. Prints JSON: `seconds` and
`cpu_seconds` hold everything from the start of Python on, `rows_per_cpu_second` is what one core does.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

EVENTS = """
select
    ['page', 'track', 'track', 'identify'][i % 4 + 1] as type,
    md5(i::varchar)::uuid::varchar as "messageId",
    md5((i % 200000)::varchar)::uuid::varchar as "anonymousId",
    case when i % 3 = 0 then 'u_' || left(md5((i % 50000)::varchar), 12) end as "userId",
    case when i % 4 in (1, 2) then 'Product Viewed' end as event,
    case when i % 4 = 0 then 'Product' end as name,
    {'path': '/p/' || (i % 977), 'url': 'https://shop.lumen.example/p/' || (i % 977), 'title': 'Lamp ' || (i % 977),
     'price': (i % 10000) / 100, 'currency': 'EUR', 'product_id': 'LMP-' || (i % 977)} as properties,
    {'ip': '203.0.113.' || (i % 255), 'userAgent': 'Mozilla/5.0 (X11; Linux x86_64) Chrome/120.0', 'locale': 'de-DE',
     'page': {'path': '/p/' || (i % 977), 'url': 'https://shop.lumen.example/p/' || (i % 977)}} as context,
    strftime(timestamp '2026-01-01' + to_milliseconds(i * 50), '%Y-%m-%dT%H:%M:%S.%gZ') as "originalTimestamp",
    strftime(timestamp '2026-01-01' + to_milliseconds(i * 50 + 300), '%Y-%m-%dT%H:%M:%S.%gZ') as "sentAt",
    strftime(timestamp '2026-01-01' + to_milliseconds(i * 50 + 500), '%Y-%m-%dT%H:%M:%S.%gZ') as "receivedAt",
    strftime(timestamp '2026-01-01' + to_milliseconds(i * 50), '%Y-%m-%dT%H:%M:%S.%gZ') as timestamp
from range($from, $to) as t(i)
"""
RECEIPTS = """
select 'R' || i as receipt_no, i % 5 + 1 as line_no, 'SH-01 上海南京路' as store, 'Asia/Shanghai' as store_time_zone,
    strftime(timestamp '2026-01-01' + to_seconds(i % 5000000), '%Y/%m/%d %H:%M:%S') as sold_at,
    '29' || lpad((i % 100000)::varchar, 11, '0') as card_no, null as phone, 'LMP-' || (i % 977) as sku, 1 as qty,
    (i % 5000) || ',' || lpad((i % 100)::varchar, 2, '0') as amount, 'CNY' as currency
from range($from, $to) as t(i)
"""
INPUTS = {
    "website": (EVENTS, "website/events-{part:03}.jsonl", "(format json)"),
    "pos": (RECEIPTS, "pos/receipts-{part:03}.csv", "(format csv, delimiter ';', header)"),
}
PARTS = 10


def main() -> None:
    """Make the input, run each source twice in fresh processes, print what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--run", nargs=1, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        print(json.dumps(_run(options.run[0])))
        return
    with tempfile.TemporaryDirectory(prefix="cdp-bench-") as folder:
        print(json.dumps({name: _measure(name, Path(folder), options) for name in INPUTS}, indent=2))


def _measure(name: str, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    written = _write(name, folder / "landing", options.rows)
    environment = os.environ | {
        "CDP_DATA_DIR": str(folder / name),
        "CDP_LANDING_DIR": str(folder / "landing"),
        "CDP_THREADS": str(options.threads),
    }
    runs = []
    for _ in range(2):
        started = time.perf_counter()
        command = [sys.executable, "-m", "benchmarks.ingest", "--run", name]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        runs.append(json.loads(done.stdout) | {"seconds": round(time.perf_counter() - started, 2)})
    first, again = runs
    assert first["rows"] == options.rows, first
    assert again["rows"] == 0, again
    return {
        "rows": first["rows"],
        "bytes_per_row": round(written / options.rows),
        "threads": options.threads,
        "seconds": first["seconds"],
        "cpu_seconds": first["cpu_seconds"],
        "rows_per_second": round(options.rows / first["seconds"]),
        "rows_per_cpu_second": round(options.rows / first["cpu_seconds"]),
        "peak_memory_mb": first["peak_memory_mb"],
        "seconds_with_nothing_new": again["seconds"],
    }


def _write(name: str, landing: Path, rows: int) -> int:
    import duckdb

    query, pattern, form = INPUTS[name]
    size = 0
    for part in range(PARTS):
        path = landing / pattern.format(part=part)
        path.parent.mkdir(parents=True, exist_ok=True)
        limits = {"$from": str(rows * part // PARTS), "$to": str(rows * (part + 1) // PARTS)}
        text = query.replace("$from", limits["$from"]).replace("$to", limits["$to"])
        duckdb.execute(f"copy ({text}) to '{path}' {form}")
        size += path.stat().st_size
    return size


def _run(name: str) -> dict[str, Any]:
    from cdp.settings import get_settings
    from cdp.sources import one_source
    from cdp.warehouse import writer_lock
    from ingest.pipeline import run_source

    settings = get_settings()
    with writer_lock(settings):
        loaded = run_source(one_source(name, settings).value, settings)
    used = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "rows": loaded.total,
        "cpu_seconds": round(used.ru_utime + used.ru_stime, 2),
        "peak_memory_mb": used.ru_maxrss // 1024,
    }


if __name__ == "__main__":
    main()
