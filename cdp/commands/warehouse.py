"""`cdp status` and `cdp sql`: looking into the warehouse."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from cdp.commands.output import JsonOption, print_json, print_table


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.command("status")(status)
    app.command("sql")(sql)


def status(json_: JsonOption = False) -> None:
    """Freshness of sources, row counts, last runs, failing checks.

    Example: cdp status --json

    Exit codes: 0 all well, 1 a check fails or the last run failed, 3 there is no warehouse yet.
    """
    from cdp.settings import get_settings
    from cdp.sources import active_sources
    from cdp.status import sources, tables
    from cdp.warehouse import reading

    settings = get_settings()
    names = list(active_sources(settings))
    with reading(settings) as con:
        found_sources = sources(con, names)
        found_tables = tables(con)
    from orchestration.history import failing_checks, last_runs

    runs, failing = last_runs(settings), failing_checks(settings)
    wrong = bool(any(c.severity == "ERROR" for c in failing) or (runs and runs[0].status == "FAILURE"))
    if json_:
        data = {
            "sources": [s.to_dict() for s in found_sources],
            "tables": [{"schema": t.schema, "table": t.table, "rows": t.rows} for t in found_tables],
            "runs": [r.to_dict() for r in runs],
            "failing_checks": [c.to_dict() for c in failing],
        }
        print_json(data)
    else:
        print_table(
            "Sources",
            ["source", "rows", "last load (UTC)", "hours ago", "open quarantine"],
            [(s.source, s.rows, s.last_loaded_at, s.age_hours, s.quarantined) for s in found_sources],
        )
        shown = [(t.schema, t.table, t.rows) for t in found_tables if t.schema not in ("raw", "seeds")]
        print_table("Tables", ["schema", "table", "rows"], shown)
        print_table(
            "Last runs",
            ["run", "job", "status", "started (UTC)", "seconds"],
            [(r.run_id[:8], r.job, r.status, r.started_at, r.seconds) for r in runs],
        )
        print_table(
            "Failing checks",
            ["asset", "check", "severity", "when (UTC)", "reason"],
            [(c.asset, c.check, c.severity, c.at, c.reason) for c in failing],
        )
    raise typer.Exit(1 if wrong else 0)


def sql(
    query: Annotated[str, typer.Argument(help="One SELECT statement.")],
    live: Annotated[
        bool, typer.Option("--live", help="Read the warehouse itself instead of the published copy.")
    ] = False,
    limit: Annotated[int, typer.Option(min=1, help="Rows to print at most.")] = 100,
    csv: Annotated[Path | None, typer.Option(help="Write all rows to this CSV file instead.")] = None,
    json_: JsonOption = False,
) -> None:
    """Run one read-only query on the warehouse.

    Example: cdp sql "select segment, count(*) from segments.segment_membership group by 1"

    Exit codes: 0 answered, 2 the query is wrong, 3 there is no warehouse yet, 4 it is being written.
    """
    import duckdb

    from cdp.errors import DeclarationError
    from cdp.settings import get_settings
    from cdp.warehouse import reading

    with reading(get_settings(), live=live) as con:
        # the connection can read this database only: no files, no other databases, no settings
        con.execute("set enable_external_access = false")
        con.execute("set lock_configuration = true")
        try:
            result = con.execute(query)
            columns = [c[0] for c in result.description or []]
            rows: list[tuple[Any, ...]] = result.fetchall() if csv else result.fetchmany(limit + 1)
        except duckdb.Error as error:
            raise DeclarationError(
                str(error).strip(), where="query", expected="one read-only SELECT statement"
            ) from None
    if csv:
        _write_csv(csv, columns, rows)
        typer.echo(f"{len(rows)} rows written to {csv}")
    elif json_:
        print_json([dict(zip(columns, row, strict=True)) for row in rows[:limit]])
    else:
        more = " (more; see --limit, --csv)" if len(rows) > limit else ""
        print_table(f"{min(len(rows), limit)} rows{more}", columns, rows[:limit])


def _write_csv(path: Path, columns: list[str], rows: list[tuple[Any, ...]]) -> None:
    import csv

    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(rows)
