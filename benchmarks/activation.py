"""How fast the sync engine plans and delivers, each against another way to do the same on the same machine.

    python -m benchmarks.activation [--rows 1000000] [--delivered 100000] [--rounds 3] [--no-drt]

`plan`: a plan of a million rows with ten fields, of which one in a hundred has changed, against an anti-join of the two
tables within DuckDB. `deliver`: rows to a loopback server in batches of 100, with the ledger (an outcome for each row,
safe against kill -9), without it (`bare`), and with httpx's client in the place of our transport; and with the REST
destination of drt-core 1.2 (`body_mode: batch`, no ledger), which is installed into an environment of its own below .bench/:
the same rows to the same server. Our rows come out of the plan as JSON, drt's are objects, so `from_the_table` also gives
plan and delivery together against reading the table and delivery. Prints JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import duckdb

from benchmarks._activation_peers import Server, drt, drt_python

AS_OF = "2026-03-01T00:00:00"
COLUMNS = {
    "email": "varchar", "first_name": "varchar", "last_name": "varchar", "phone": "varchar", "city": "varchar",
    "score": "double", "is_vip": "boolean", "born_on": "date", "seen_at": "timestamp", "orders": "bigint",
}  # fmt: skip
TABLE = """
select
    'person' || i || '@example.com' as email, 'First ' || (i % 1000) as first_name, 'Last ' || (i % 5000) as last_name,
    '+86138' || lpad(i::varchar, 8, '0') as phone, 'City ' || (i % 300) as city,
    (i % 97)::double + case when i % 100 = 0 then $changed else 0 end as score, i % 2 = 0 as is_vip,
    date '1960-01-01' + (i % 20000)::int as born_on, timestamp '2026-01-01' + to_seconds(i % 1000000) as seen_at,
    (i % 13)::bigint as orders
from range($rows) as t(i)
"""
SYNC = """
name: bench
description: Rows of the benchmark.
owner: nobody
source: snd_bench__rows
destination: webhook
object: rows
key: email
mode: mirror
fields: {fields}
consent_purpose: service
schedule: "0 * * * *"
limits: {{max_rows: 100000000}}
"""


def main() -> None:
    """Measure, print JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--delivered", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--no-drt", action="store_true", help="Do not compare with drt-core.")
    parser.add_argument("--run", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        print(json.dumps(_child(*options.run)))
        return
    python = "" if options.no_drt else drt_python()
    with tempfile.TemporaryDirectory(prefix="cdp-bench-") as folder:
        found = {
            "plan": _plan(Path(folder) / "plan", options.rows),
            "deliver": _deliver(Path(folder), options.delivered, options.rounds, python),
        }
        print(json.dumps(found, indent=2))


def _plan(root: Path, rows: int) -> dict[str, Any]:
    _project(root)
    _fill(root, rows, 0)
    with Server() as url:
        _measured(root, url, "ours")
    _fill(root, rows, 1)
    found = _measured(root, "http://127.0.0.1:9", "plan")
    return {
        "rows": rows,
        "fields": len(COLUMNS),
        **found,
        "ratio": round(found["seconds"] / found["anti_join_seconds"], 2),
    }


def _deliver(root: Path, rows: int, rounds: int, python: str) -> dict[str, Any]:
    """Each way in turn, several times; the best of each is what the machine allows when nothing else is going on."""
    taken: dict[str, list[dict[str, Any]]] = {}
    with Server() as url:
        for number in range(rounds):
            folder = root / f"round{number}"
            _project(folder)
            _fill(folder, rows, 0)
            for way in ("ours", "bare", "httpx"):
                taken.setdefault(way, []).append(_measured(folder, url, way))
            if python:
                taken.setdefault("drt", []).append(drt(folder, url, python))
            shutil.rmtree(folder)
    best = {name: min(each["deliver_seconds"] for each in several) for name, several in taken.items()}
    used = {name: min(each["deliver_processor_seconds"] for each in several) for name, several in taken.items()}
    found: dict[str, Any] = {
        "rows": rows,
        "fields": len(COLUMNS),
        "rounds": rounds,
        "rows_per_second": {name: round(rows / seconds) for name, seconds in best.items()},
        "rows_per_processor_second": {name: round(rows / seconds) for name, seconds in used.items()},
        "ledger_share_of_time": round(1 - best["bare"] / best["ours"], 2),
        "ledger_share_of_processor_time": round(1 - used["bare"] / used["ours"], 2),
        "whole_run_seconds": min(each["seconds"] for each in taken["ours"]),
        "peak_memory_mb": max(each["peak_memory_mb"] for each in taken["ours"]),
    }
    if python:
        found["ratio_to_drt"] = round(best["drt"] / best["ours"], 2)
        found["ratio_to_drt_by_processor_time"] = round(used["drt"] / used["ours"], 2)
        for name in ("table_seconds", "table_processor_seconds"):
            ours, theirs = (min(each[name] for each in taken[way]) for way in ("ours", "drt"))
            found[f"from_the_{name}"] = {
                "ours": round(ours, 2),
                "drt": round(theirs, 2),
                "ratio": round(theirs / ours, 2),
            }
    return found


def _child(what: str, root: str) -> dict[str, Any]:
    """In a process of its own, so that memory is that of the measured part."""
    from cdp.settings import Settings
    from reverse_etl import engine

    settings = Settings(project_root=Path(root), data_dir=Path(".cdp"), _env_file=None)
    if what == "plan":
        begun, spent = time.perf_counter(), time.process_time()
        todo = engine.plan("bench", settings)
        seconds, spent = time.perf_counter() - begun, time.process_time() - spent
        used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        assert todo.counts["update"] * 100 == todo.counts["source"], todo.counts
        return {
            "seconds": round(seconds, 2),
            "processor_seconds": round(spent, 2),
            "peak_memory_mb": used,
            "updates": todo.counts["update"],
            **_anti_join(settings.warehouse_path),
        }
    timed = _timed(what)
    if what != "ours":
        place = Path(root) / f".{what}"
        settings = settings.model_copy(update={"data_dir": place})
        place.mkdir()
        (place / "warehouse.duckdb").symlink_to(Path(root) / ".cdp" / "warehouse.duckdb")
    begun = time.perf_counter()
    result = engine.run("bench", settings, AS_OF, accept=engine.plan("bench", settings).plan_id)
    assert result.ok and result.created, result
    return {
        "seconds": round(time.perf_counter() - begun, 2),
        "deliver_seconds": timed["seconds"],
        "deliver_processor_seconds": timed["processor_seconds"],
        "table_seconds": timed["seconds"] + timed["plan_seconds"],
        "table_processor_seconds": timed["processor_seconds"] + timed["plan_processor_seconds"],
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


def _timed(what: str) -> dict[str, float]:
    """Time of the last plan and of the delivery, from the plan's rows to the last outcome."""
    from reverse_etl import engine, http
    from reverse_etl.deliver import Delivering
    from reverse_etl.ledger import Ledger
    from reverse_etl.wire import ByHttpx

    timed: dict[str, float] = {}

    def timing(original: Any, prefix: str) -> Any:
        def wrapped(*arguments: Any, **named: Any) -> Any:
            begun, used = time.perf_counter(), time.process_time()
            try:
                return original(*arguments, **named)
            finally:
                timed[f"{prefix}seconds"] = time.perf_counter() - begun
                timed[f"{prefix}processor_seconds"] = time.process_time() - used

        return wrapped

    Delivering.deliver = timing(Delivering.deliver, "")  # type: ignore[method-assign]
    engine.make_plan = timing(engine.make_plan, "plan_")
    if what == "bare":
        Ledger.advance = lambda *_, **__: None  # type: ignore[method-assign]
    if what == "httpx":
        http.transport_for = lambda url, authorities, *rest: ByHttpx(None, authorities(), *rest)
    return timed


def _anti_join(warehouse: Path) -> dict[str, float]:
    """The same question asked of DuckDB alone: rows that differ from a table of the rows as they were."""
    from cdp.warehouse import open_database

    con = open_database(warehouse, read_only=True)
    con.execute(f"create temp table before as {TABLE.replace('$rows', '1').replace('$changed', '0')} limit 0")
    (count,) = con.execute("select count(*) from activation.snd_bench__rows").fetchall()[0]
    con.execute(f"insert into before {TABLE.replace('$rows', str(count)).replace('$changed', '0')}")
    begun, spent = time.perf_counter(), time.process_time()
    con.execute("select * from activation.snd_bench__rows except select * from before").fetchall()
    con.execute(
        "select email from before where not exists (select 1 from activation.snd_bench__rows as now where now.email = before.email)"
    ).fetchall()
    return {
        "anti_join_seconds": round(time.perf_counter() - begun, 2),
        "anti_join_processor_seconds": round(time.process_time() - spent, 2),
    }


def _project(root: Path) -> None:
    model = root / "dbt_project" / "models" / "activation"
    syncs = root / "reverse_etl" / "syncs"
    model.mkdir(parents=True)
    syncs.mkdir(parents=True)
    columns = "\n".join(f"      - {{name: {name}, data_type: {kind}}}" for name, kind in COLUMNS.items())
    (model / "snd_bench__rows.yml").write_text(
        "models:\n  - name: snd_bench__rows\n    config: {contract: {enforced: true}, meta: {consent_purpose: service}}\n"
        f"    columns:\n{columns}\n"
    )
    (syncs / "bench.yml").write_text(SYNC.format(fields="{" + ", ".join(f"{name}: {name}" for name in COLUMNS) + "}"))


def _fill(root: Path, rows: int, changed: int) -> None:
    path = root / ".cdp" / "warehouse.duckdb"
    path.parent.mkdir(exist_ok=True)
    with duckdb.connect(str(path)) as con:
        con.execute("create schema if not exists activation")
        text = TABLE.replace("$rows", str(rows)).replace("$changed", str(changed))
        con.execute(f"create or replace table activation.snd_bench__rows as {text}")


def _measured(root: Path, url: str, what: str) -> dict[str, Any]:
    environment = os.environ | {"CDP_WEBHOOK__BASE_URL": url, "CDP_WEBHOOK__SECRET": "whsec_YmVuY2htYXJr"}
    command = [sys.executable, "-m", "benchmarks.activation", "--run", what, str(root)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


if __name__ == "__main__":
    main()
