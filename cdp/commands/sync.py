"""`cdp sync`: plan, run and watch what goes to destinations."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cdp.commands.output import JsonOption, print_json, print_table

if TYPE_CHECKING:
    from reverse_etl.ledger import Ledger
    from reverse_etl.result import SyncResult

app = typer.Typer(no_args_is_help=True, help="Plan, run and watch what goes to destinations.")

Name = Annotated[str, typer.Argument(help="Name of a sync; see `cdp sync list`.")]
AsOf = Annotated[str, typer.Option(help="The run's 'now', ISO 8601 in UTC (default: CDP_AS_OF).")]


@app.command("list", epilog="Example: cdp sync list --json")
def list_(json_: JsonOption = False) -> None:
    """All syncs, checked. Exit codes: 0 all are right, 2 a declaration is wrong."""
    from cdp.settings import get_settings
    from reverse_etl.catalog import resolve_all

    rows = [
        {
            "name": resolved.sync.name,
            "source": resolved.source.model,
            "destination": f"{resolved.settings_name}.{resolved.sync.object}",
            "mode": resolved.sync.mode,
            "purpose": resolved.sync.consent_purpose,
            "schedule": resolved.sync.schedule,
            "owner": resolved.sync.owner,
        }
        for resolved in resolve_all(get_settings())
    ]
    if json_:
        print_json(rows)
    else:
        columns = ["name", "destination", "mode", "purpose", "schedule"]
        print_table("Syncs", columns, [[row[column] for column in columns] for row in rows])


@app.command(epilog="Example: cdp sync plan hubspot_contacts --out plan.json")
def plan(
    name: Name,
    out: Annotated[Path | None, typer.Option(help="Write a plan file, for `cdp sync run NAME --plan FILE`.")] = None,
    json_: JsonOption = False,
) -> None:
    """What a run would send now, with personal data hidden; sends nothing.

    Exit codes: 0 it may run, 2 a declaration is wrong, 3 the source is not built, 4 it exceeds the sync's limits.
    """
    from cdp.settings import get_settings
    from reverse_etl import engine, plan_file

    todo = engine.plan(name, get_settings())
    if out is not None:
        plan_file.write(out, todo)
    if json_:
        print_json(todo.to_dict())
    else:
        typer.echo(todo.render())
    raise typer.Exit(4 if todo.violations else 0)


@app.command(epilog="Example: cdp sync run hubspot_contacts --accept 3f2a9c01d4be")
def run(
    name: Name,
    plan_path: Annotated[
        Path | None, typer.Option("--plan", help="Carry out this plan file, or nothing if the data have moved.")
    ] = None,
    accept: Annotated[
        str, typer.Option(help="Id of a plan that may exceed the limits, as `cdp sync plan` shows it.")
    ] = "",
    as_of: AsOf = "",
    json_: JsonOption = False,
) -> None:
    """Send what the plan says and record what became of every row. Ctrl-C ends it after the calls under way.

    Exit codes: 0 all acknowledged, 1 rows failed or were rejected, 2 a declaration is wrong, 3 configuration missing or
    refused, 4 the sync runs already, is paused, exceeds its limits, or is no longer the accepted plan.
    """
    from reverse_etl import plan_file

    exactly = plan_file.read(plan_path, name) if plan_path else None
    _run(name, as_of, json_, accept=accept or None, exactly=exactly)


@app.command(epilog="Example: cdp sync retry hubspot_contacts")
def retry(
    name: Name,
    held: Annotated[
        str, typer.Option(help="Decide rows in doubt first: `sent` they arrived, `not-sent` they did not.")
    ] = "",
    as_of: AsOf = "",
    json_: JsonOption = False,
) -> None:
    """Send the open rows of a sync again, with their newest values, and nothing else. Exit codes as of `run`."""
    from cdp.settings import get_settings
    from reverse_etl import control

    if held not in ("", "sent", "not-sent"):
        raise typer.BadParameter('"sent" or "not-sent"', param_hint="--held")
    if held:
        decided = control.decide(name, get_settings(), arrived=held == "sent")
        typer.echo(f"{decided:,} rows were in doubt and are decided: {held}", err=True)
    _run(name, as_of, json_, only_open=True)


@app.command(epilog="Example: cdp sync replay hubspot_contacts --to hubspot --account eu")
def replay(
    name: Name,
    to: Annotated[str, typer.Option(help="Destination that takes the sync's object with the same fields.")],
    account: Annotated[str, typer.Option(help="Its account: settings CDP_<DESTINATION>_<ACCOUNT>__<KEY>.")] = "",
    accept: Annotated[str, typer.Option(help="Id of a plan that may exceed the limits.")] = "",
    as_of: AsOf = "",
    json_: JsonOption = False,
) -> None:
    """Send all that the sync wants to another destination, with a state of its own. Exit codes as of `run`."""
    from cdp.settings import get_settings
    from reverse_etl import catalog

    elsewhere = catalog.resolve(name, get_settings(), destination=to, account=account or None)
    _run(name, as_of, json_, accept=accept or None, resolved=elsewhere)


@app.command(epilog='Example: cdp sync reset hubspot_contacts --reason "portal was restored from a backup"')
def reset(
    name: Name,
    reason: Annotated[str, typer.Option(help="Why; stands in the plan, the logs and the alert.")],
    new_account: Annotated[
        bool, typer.Option("--new-account", help="The destination is another account: it holds nothing of ours.")
    ] = False,
) -> None:
    """Make the next run send every row again. What the sync put there is still known, so `mirror` can still remove it."""
    from cdp.settings import get_settings
    from reverse_etl import control

    typer.echo(control.reset(name, get_settings(), reason, new_account=new_account))


@app.command(epilog='Example: cdp sync pause hubspot_contacts --reason "migration until Friday"')
def pause(name: Name, reason: Annotated[str, typer.Option(help="Why; shown by `status` and when it is run.")]) -> None:
    """Refuse runs of a sync until it is resumed."""
    from cdp.settings import get_settings
    from reverse_etl import control

    typer.echo(control.pause(name, get_settings(), reason))


@app.command(epilog="Example: cdp sync resume hubspot_contacts")
def resume(name: Name) -> None:
    """Let a paused sync run again."""
    from cdp.settings import get_settings
    from reverse_etl import control

    typer.echo(control.resume(name, get_settings()))


@app.command(epilog="Example: cdp sync errors hubspot_contacts")
def errors(name: Name, json_: JsonOption = False) -> None:
    """Open rows by reason, with what each means and what to do. Exit codes: 0 none is open, 1 there are some."""
    from cdp.settings import get_settings
    from reverse_etl import control

    found = control.errors(name, get_settings())
    if json_:
        print_json(found)
    elif not found:
        typer.echo(f"{name}: no row is open")
    else:
        columns = ["rows", "status", "code", "meaning", "reason", "to do"]
        print_table(
            f"Open rows of {name}", columns, [[row[column.replace(" ", "_")] for column in columns] for row in found]
        )
    raise typer.Exit(1 if found else 0)


@app.command(epilog="Example: cdp sync status hubspot_contacts")
def status(
    name: Annotated[str, typer.Argument(help="Name of a sync; all when left out.")] = "",
    runs: Annotated[int, typer.Option(min=1, max=1000, help="Runs to show of each sync.")] = 5,
    json_: JsonOption = False,
) -> None:
    """Last runs and open rows. Exit codes: 0 none is open, 1 rows have failed, 2 there is no such sync."""
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
    is_open = any(sync["open"].get(kind) for sync in found for kind in ("failed", "rejected", "in_doubt"))
    raise typer.Exit(1 if is_open else 0)


def _run(name: str, as_of: str, json_: bool, **how: Any) -> None:
    """Run with a graceful stop: a first Ctrl-C or SIGTERM lets the calls under way end, and records them."""
    import signal

    from cdp.settings import get_settings
    from reverse_etl import catalog, engine

    settings = get_settings()
    resolved = how.pop("resolved", None) or catalog.resolve(name, settings)
    pace = engine.pace_of(resolved)
    before = {number: signal.signal(number, lambda *_: pace.stop()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        moment = as_of or settings.resolve_as_of()
        result = engine.run(name, settings, moment, resolved=resolved, pace=pace, **how)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if json_:
        print_json(result.to_dict())
    else:
        typer.echo(_sentence(result))
    raise typer.Exit(0 if result.ok else 1)


def _status_of(name: str, ledger: Ledger, limit: int) -> dict[str, Any]:
    from dataclasses import asdict

    return {
        "sync": name,
        "paused": ledger.control(name).paused_reason,
        "open": ledger.open_counts(name),
        "runs": [asdict(run) for run in ledger.runs(name, limit)],
        "open_rows": [asdict(row) for row in ledger.open_rows(name)],
    }


def _print_status(sync: dict[str, Any]) -> None:
    typer.echo(f"{sync['sync']}{'' if sync['runs'] else ': has not run yet'}")
    if sync["paused"]:
        typer.echo(f"  paused: {sync['paused']}")
    for run in sync["runs"]:
        # A stopped run holds the plan's figures, not what was sent.
        sent = _figures(run["counts"]) if run["status"] != "stopped" else "nothing sent"
        typer.echo(f"  {run['run_id']}  {run['status']:<9}  {sent}{'; ' + run['message'] if run['message'] else ''}")
    if sync["open_rows"]:
        waiting = ", ".join(f"{count:,} {kind}" for kind, count in sync["open"].items())
        print_table(
            f"Open rows ({waiting})",
            ["row", "operation", "status", "times", "since run", "reason"],
            [
                [f["key_mark"], f["operation"], f["status"], f["attempts"], f["first_run_id"], f["reason"]]
                for f in sync["open_rows"]
            ],
        )


def _sentence(result: SyncResult) -> str:
    lines = [f"{result.sync}: {_figures(result.to_dict())} (run {result.run_id})"]
    if result.message:
        lines.append(f"  {result.message}")
    if not result.ok or result.held:
        lines.append(f"  to do:    look at `cdp sync errors {result.sync}`; the next run tries these rows again")
    return "\n".join(lines)


def _figures(counts: dict[str, Any]) -> str:
    words = (
        "created", "updated", "appended", "merged", "deleted", "rejected", "failed", "in_doubt", "suppressed", "held",
        "not_attempted", "invalid", "unchanged",
    )  # fmt: skip
    parts = [f"{counts[word]:,} {word.replace('_', ' ')}" for word in words if counts.get(word)]
    return ", ".join(parts) or "nothing to send"
