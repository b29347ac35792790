"""`cdp sync`: plan, run and watch what goes to destinations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from cdp.commands.output import JsonOption, print_json, print_table

if TYPE_CHECKING:
    from reverse_etl.engine import SyncResult
    from reverse_etl.ledger import Ledger

app = typer.Typer(no_args_is_help=True, help="Plan, run and watch what goes to destinations.")

Name = Annotated[str, typer.Argument(help="Name of a sync; see `cdp sync list`.")]


@app.command("list", epilog="Example: cdp sync list --json")
def list_(json_: JsonOption = False) -> None:
    """All syncs, checked. Exit codes: 0 all are right, 2 a declaration is wrong."""
    from cdp.settings import get_settings
    from reverse_etl.catalog import resolve_all

    syncs = [resolved.sync for resolved in resolve_all(get_settings())]
    rows = [
        {
            "name": sync.name,
            "source": sync.source,
            "destination": f"{sync.destination}.{sync.object}",
            "mode": sync.mode,
            "purpose": sync.consent_purpose,
            "schedule": sync.schedule,
            "owner": sync.owner,
        }
        for sync in syncs
    ]
    if json_:
        print_json(rows)
    else:
        columns = ["name", "destination", "mode", "purpose", "schedule"]
        print_table("Syncs", columns, [[row[column] for column in columns] for row in rows])


@app.command(epilog="Example: cdp sync plan hubspot_contacts")
def plan(name: Name, json_: JsonOption = False) -> None:
    """What a run would send now, with personal data hidden; sends nothing.

    Exit codes: 0 it may run, 2 a declaration is wrong, 3 the source is not built, 4 it exceeds the sync's limits.
    """
    from cdp.settings import get_settings
    from reverse_etl import engine

    todo = engine.plan(name, get_settings())
    if json_:
        print_json(todo.to_dict())
    else:
        typer.echo(todo.render())
    raise typer.Exit(4 if todo.violations else 0)


@app.command(epilog="Example: cdp sync run hubspot_contacts --accept 3f2a9c01d4be")
def run(
    name: Name,
    accept: Annotated[
        str, typer.Option(help="Id of a plan that may exceed the limits, as `cdp sync plan` shows it.")
    ] = "",
    as_of: Annotated[str, typer.Option(help="The run's 'now', ISO 8601 in UTC (default: CDP_AS_OF).")] = "",
    json_: JsonOption = False,
) -> None:
    """Send what the plan says and record what became of every row.

    Exit codes: 0 all acknowledged, 1 rows failed or were rejected, 2 a declaration is wrong, 3 configuration missing or
    refused, 4 the sync runs already, exceeds its limits, or is no longer the accepted plan.
    """
    from cdp.settings import get_settings
    from reverse_etl import engine

    settings = get_settings()
    result = engine.run(name, settings, as_of or settings.resolve_as_of(), accept=accept or None)
    if json_:
        print_json(result.to_dict())
    else:
        typer.echo(_sentence(result))
    raise typer.Exit(0 if result.ok else 1)


@app.command(epilog="Example: cdp sync status hubspot_contacts")
def status(
    name: Annotated[str, typer.Argument(help="Name of a sync; all when left out.")] = "",
    runs: Annotated[int, typer.Option(min=1, max=1000, help="Runs to show of each sync.")] = 5,
    json_: JsonOption = False,
) -> None:
    """Last runs and open failures. Exit codes: 0 none is open, 1 rows have failed, 2 there is no such sync."""
    from contextlib import closing

    from cdp.settings import get_settings
    from reverse_etl import engine
    from reverse_etl.catalog import resolve
    from reverse_etl.ledger import Ledger

    settings = get_settings()
    names = [resolve(name, settings).sync.name] if name else engine.sync_names(settings)
    with closing(Ledger(settings)) as ledger:
        found = [_status_of(each, ledger, runs) for each in names]
    if json_:
        print_json(found)
    else:
        for sync in found:
            _print_status(sync)
    is_open = any(sync["open"].get(kind) for sync in found for kind in ("failed", "rejected"))
    raise typer.Exit(1 if is_open else 0)


def _status_of(name: str, ledger: Ledger, limit: int) -> dict[str, Any]:
    from dataclasses import asdict

    return {
        "sync": name,
        "open": ledger.failure_counts(name),
        "runs": [asdict(run) for run in ledger.runs(name, limit)],
        "failures": [asdict(failure) for failure in ledger.failures(name)],
    }


def _print_status(sync: dict[str, Any]) -> None:
    typer.echo(f"{sync['sync']}{'' if sync['runs'] else ': has not run yet'}")
    for run in sync["runs"]:
        # A blocked run holds the plan's figures, not what was sent.
        sent = _figures(run["counts"]) if run["status"] != "blocked" else "nothing sent"
        typer.echo(f"  {run['run_id']}  {run['status']:<9}  {sent}{'; ' + run['message'] if run['message'] else ''}")
    if sync["failures"]:
        waiting = ", ".join(f"{count:,} {kind}" for kind, count in sync["open"].items())
        print_table(
            f"Open rows ({waiting})",
            ["row", "operation", "status", "times", "since run", "reason"],
            [
                [f["key_mark"], f["operation"], f["status"], f["attempts"], f["first_run_id"], f["reason"]]
                for f in sync["failures"]
            ],
        )


def _sentence(result: SyncResult) -> str:
    lines = [f"{result.sync}: {_figures(result.to_dict())} (run {result.run_id})"]
    if result.message:
        lines.append(f"  {result.message}")
    if not result.ok:
        lines.append(f"  to do:    look at `cdp sync status {result.sync}`; the next run tries these rows again")
    return "\n".join(lines)


def _figures(counts: dict[str, Any]) -> str:
    words = ("created", "updated", "deleted", "rejected", "failed", "not_attempted", "invalid", "unchanged")
    parts = [f"{counts[word]:,} {word.replace('_', ' ')}" for word in words if counts.get(word)]
    return ", ".join(parts) or "nothing to send"
