"""`cdp run` and `cdp ui`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from cdp.commands.output import JsonOption, print_json


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.command("run")(run)
    app.command("ui")(ui)


def run(
    sources: Annotated[
        str, typer.Option(help="Only these sources, comma separated (default: CDP_SOURCES, or the active ones).")
    ] = "",
    as_of: Annotated[str, typer.Option(help="The run's 'now', ISO 8601 in UTC (default: CDP_AS_OF).")] = "",
    full_refresh: Annotated[
        bool, typer.Option("--full-refresh", help="Build incremental models anew from raw.")
    ] = False,
    sync_only: Annotated[bool, typer.Option("--sync-only", help="Only deliver; load and build nothing.")] = False,
    json_: JsonOption = False,
) -> None:
    """Load, build, check and deliver everything, through Dagster.

    Example: cdp run --sources crm,shop --as-of 2026-03-01

    Exit codes: 0 all well, 1 a step or check failed, 2 a declaration or argument is wrong, 3 configuration, 4 busy.
    """
    from cdp.settings import get_settings

    if sources:
        os.environ["CDP_SOURCES"] = sources
    if as_of:
        os.environ["CDP_AS_OF"] = as_of
    get_settings.cache_clear()
    settings = get_settings()
    from cdp.sources import active_sources

    active_sources(settings)
    moment = settings.resolve_as_of()
    from orchestration.run import execute

    job = "sync_only" if sync_only else "everything"
    with _progress(quiet=json_) as progress:
        summary = execute(settings, job=job, as_of=moment, full_refresh=full_refresh, progress=progress)
    if json_:
        print_json(summary.to_dict())
    else:
        _print_summary(summary, settings)
    raise typer.Exit(0 if summary.ok else 1)


def ui(port: Annotated[int | None, typer.Option(help="Port on loopback (default: CDP_UI_PORT).")] = None) -> None:
    """Open the Dagster UI on the same state, with schedules and sensors (stop with Ctrl-C).

    Example: cdp ui --port 3000
    """
    from cdp.settings import get_settings
    from orchestration.run import dagster_home

    settings = get_settings()
    dagster_home(settings)
    os.chdir(settings.project_root)
    dagster = str(Path(sys.executable).with_name("dagster"))
    arguments = [dagster, "dev", "-w", "workspace.yaml", "-h", "127.0.0.1", "-p", str(port or settings.ui_port)]
    os.execv(dagster, arguments)  # noqa: S606 - the process becomes Dagster's, so that signals reach it


class _progress:
    """Shows steps as they go: a live list on a terminal, a line a step elsewhere."""

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet
        self._live: Any = None

    def __enter__(self) -> _progress:
        if not self._quiet and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

            self._live = Progress(
                SpinnerColumn(finished_text=" "),
                TextColumn("{task.description}"),
                TimeElapsedColumn(),
                console=Console(stderr=True),
            )
            self._live.start()
            self._tasks: dict[str, Any] = {}
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def __call__(self, step: str, state: str, seconds: float) -> None:
        if self._live:
            if state == "start" and step not in self._tasks:
                self._tasks[step] = self._live.add_task(step, total=1)
            elif state in ("success", "failure", "skipped") and step in self._tasks:
                mark = {"success": "[green]done[/]", "failure": "[red]failed[/]", "skipped": "[yellow]held back[/]"}[
                    state
                ]
                self._live.update(self._tasks[step], description=f"{step} {mark}", completed=1)
        elif not self._quiet and state != "start":
            typer.echo(f"{state:8} {step} ({seconds:.1f} s)", err=True)


def _print_summary(summary: Any, settings: Any) -> None:
    from cdp.commands.output import print_table
    from cdp.status import tables
    from cdp.warehouse import reading

    if settings.warehouse_path.exists():
        with reading(settings, live=True) as con:
            found = [(t.schema, t.table, t.rows) for t in tables(con) if t.schema not in ("seeds", "raw", "staging")]
        print_table(f"Warehouse as of {summary.as_of}", ["schema", "table", "rows"], found)
    for error in summary.errors:
        typer.secho(error, fg="red", err=True)
    for name in summary.failed_steps:
        typer.secho(f"step failed: {name}", fg="red", err=True)
    for name in summary.held_back:
        typer.secho(f"step held back by what failed before it: {name}", fg="red", err=True)
    for name in summary.failed_checks:
        typer.secho(f"check failed: {name}", fg="red", err=True)
    for name in summary.warnings:
        typer.secho(f"warning: {name}", fg="yellow", err=True)
    state = "all well" if summary.ok else "with failures"
    typer.echo(f"Run {summary.run_id} ended {state} after {summary.seconds:.1f} s. Next: cdp status, cdp sql, make ui")
