"""Record, second half: three logs, one JSON-lines file a run each, to be landed in the warehouse again.

Files are written whole from the ledger's batches and then never change. A run that died is caught up by the next one.
Personal data are not in them: keys and payloads only as digests, reasons without the rows' values.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cdp.settings import Settings
from reverse_etl.catalog import ResolvedSync
from reverse_etl.ledger import Ledger
from reverse_etl.ledger_rows import RunRecord
from reverse_etl.query import text_sql

if TYPE_CHECKING:
    import pyarrow as pa

DELIVERIES, RUNS, PLANS = "delivery_log", "sync_runs", "sync_plans"


def folder(settings: Settings, log: str = DELIVERIES) -> Path:
    """`<data_dir>/<log>`, below it `<sync>/<run_id>.jsonl`."""
    return settings.path(log)


def write(resolved: ResolvedSync, ledger: Ledger, settings: Settings) -> None:
    """Write the files of all finished runs that wait for it."""
    name = resolved.ledger_name
    for run in ledger.unlogged_runs(name):
        _write_deliveries(folder(settings, DELIVERIES) / name / f"{run.run_id}.jsonl", resolved, ledger, run)
        _put(folder(settings, PLANS) / name / f"{run.run_id}.jsonl", _plan(run))
        _put(folder(settings, RUNS) / name / f"{run.run_id}.jsonl", [_run(resolved, run)])
        ledger.mark_logged(name, run.run_id)


def _write_deliveries(path: Path, resolved: ResolvedSync, ledger: Ledger, run: RunRecord) -> None:
    """The outcome of each row of a run, in the order of delivery. One pass in DuckDB: runs may have millions of rows."""
    import duckdb
    import pyarrow as pa

    columns = ("key", "person", "operation", "status", "code", "reason", "request_id", "payload", "consent_record")
    tables = []
    for number, (at, rows) in enumerate(ledger.outcomes(run.sync, run.run_id)):
        table = rows.select(columns)
        length = table.num_rows
        table = table.append_column("batch", pa.array([number] * length, pa.int64()))
        table = table.append_column("position", pa.array(range(length), pa.int64()))
        moment = at.isoformat(timespec="milliseconds") + "Z"
        tables.append(table.append_column("delivered_at", pa.array([moment] * length, pa.string())))
    if not tables:
        _put(path, [])
        return
    attempts = ledger.attempts(run.sync)
    meanings = {code: rule.meaning for code, rule in resolved.spec.errors.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".tmp")
    with duckdb.connect(config={"threads": 1}) as con:
        con.register("outcomes", pa.concat_tables(tables))
        con.register("attempts", _pairs(attempts, pa.int64()))
        con.register("meanings", _pairs(meanings, pa.string()))
        con.execute(
            f"""
            copy (
              select
                {text_sql(run.sync)} as sync, {text_sql(run.run_id)} as run_id, sha256(outcomes.key) as key_hash,
                coalesce(outcomes.person, '') as person_id, outcomes.operation, outcomes.status, outcomes.code,
                case when outcomes.status = 'succeeded' then '' when outcomes.status = 'invalid' then 'invalid_value'
                  else coalesce(meanings.value, 'unknown') end as error_class,
                outcomes.reason, outcomes.request_id, coalesce(attempts.value, 1) as attempt,
                case when outcomes.payload <> '' then md5(outcomes.payload) else '' end as payload_hash,
                coalesce(outcomes.consent_record, '') as consent_record, outcomes.delivered_at,
                {text_sql(run.as_of + "Z")} as as_of
              from outcomes
              left join attempts on attempts.name = outcomes.key
              left join meanings on meanings.name = outcomes.code
              where outcomes.operation not in ('forget', 'unchanged')
              order by outcomes.batch, outcomes.position
            ) to {text_sql(str(beside))} (format json)
            """
        )
    with beside.open("rb") as file:
        os.fsync(file.fileno())
    beside.replace(path)


def _pairs(values: Mapping[str, Any], kind: pa.DataType) -> pa.Table:
    import pyarrow as pa

    return pa.table({"name": pa.array(list(values), pa.string()), "value": pa.array(list(values.values()), kind)})


def _plan(run: RunRecord) -> Iterable[dict[str, Any]]:
    planned = run.counts.get("planned", {})
    for operation, row_count in sorted(planned.items()):
        yield {
            "sync": run.sync,
            "run_id": run.run_id,
            "plan_id": run.plan_id,
            "operation": operation,
            "field": "",
            "row_count": row_count,
            "as_of": run.as_of + "Z",
        }
    for name, row_count in sorted(run.counts.get("fields", {}).items()):
        yield {
            "sync": run.sync,
            "run_id": run.run_id,
            "plan_id": run.plan_id,
            "operation": "update",
            "field": name,
            "row_count": row_count,
            "as_of": run.as_of + "Z",
        }


def _run(resolved: ResolvedSync, run: RunRecord) -> dict[str, Any]:
    counts = {name: value for name, value in run.counts.items() if isinstance(value, int)}
    return {
        "sync": run.sync,
        "run_id": run.run_id,
        "destination": resolved.settings_name,
        "object": resolved.sync.object,
        "mode": resolved.sync.mode,
        "plan_id": run.plan_id,
        "status": run.status,
        "message": run.message,
        "resync_reason": run.resync_reason,
        "source_rows": counts.get("source", 0),
        **{name: counts.get(name, 0) for name in _FIGURES},
        "seconds": run.seconds or 0.0,
        "started_at": run.started_at.isoformat(timespec="milliseconds") + "Z",
        "finished_at": (run.finished_at or run.started_at).isoformat(timespec="milliseconds") + "Z",
        "as_of": run.as_of + "Z",
    }


_FIGURES = (
    "created", "updated", "appended", "merged", "deleted", "rejected", "failed", "in_doubt", "suppressed",
    "invalid", "unchanged", "not_attempted", "calls",
)  # fmt: skip


def _put(path: Path, lines: Iterable[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".tmp")
    with beside.open("w", encoding="utf-8", newline="\n") as file:
        for line in lines:
            file.write(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n")
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
