"""`cdp world`: make the demo world, let it grow, serve it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from cdp.errors import CdpError
from cdp.settings import get_settings

if TYPE_CHECKING:
    from demo.emulators.server import Places
    from demo.world.summary import WorldSummary

app = typer.Typer(
    no_args_is_help=True, help="The demo world: a generated company with known true persons, and its emulated vendors."
)

Out = Annotated[Path | None, typer.Option("--out", help="The world's folder; <data_dir>/world by default.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Threads = Annotated[int, typer.Option(min=1, max=64, help="Threads; they change the time it takes, not the bytes.")]


@app.command(epilog="Example: cdp world generate --persons 2000 --days 60 --seed 7")
def generate(
    persons: Annotated[int, typer.Option(help="Persons who arrive over the horizon (up to 1,000,000).")] = 2_000,
    days: Annotated[int, typer.Option(help="Days to write, from 2026-01-01 on (up to 4,096).")] = 60,
    seed: Annotated[int, typer.Option(help="Seed; the same arguments give the same bytes.")] = 7,
    horizon: Annotated[int | None, typer.Option(help="Days over which persons arrive; --days by default.")] = None,
    out: Out = None,
    threads: Threads = 2,
    as_json: AsJson = False,
) -> None:
    """Write a world, replacing the one that is there."""
    from demo.world import generate as make

    with _failures(as_json), _progress(as_json) as progress:
        summary = make(persons, days, seed, _world_dir(out), horizon, threads=threads, progress=progress)
    _tell_world(summary, _world_dir(out), as_json)


@app.command(epilog="Example: cdp world advance --days 1")
def advance(
    days: Annotated[int, typer.Option(help="Days to add.")] = 1,
    out: Out = None,
    threads: Threads = 2,
    as_json: AsJson = False,
) -> None:
    """Let the world live on: new daily files appear, old ones stay, backing tables change."""
    from demo.world import advance as grow

    with _failures(as_json), _progress(as_json) as progress:
        summary = grow(_world_dir(out), days, threads=threads, progress=progress)
    _tell_world(summary, _world_dir(out), as_json)


@app.command(epilog="Example: cdp world up")
def up(out: Out = None, as_json: AsJson = False) -> None:
    """Start all emulators as one background process and write <data_dir>/world.env."""
    from demo.emulators import process

    with _failures(as_json):
        running, is_new = process.up(_places(out))
    _tell(
        {**_described(running), "started": is_new},
        as_json,
        f"{'serving' if is_new else 'already serving'} {', '.join(running.emulators)} at {running.base_url}",
    )


@app.command(epilog="Example: cdp world down")
def down(as_json: AsJson = False) -> None:
    """End the background process and remove world.env."""
    from demo.emulators import process

    with _failures(as_json):
        pid = process.down(_places(None))
    _tell({"running": False, "ended": pid}, as_json, "nothing was running" if pid is None else f"ended process {pid}")


@app.command(epilog="Example: cdp world status --json")
def status(out: Out = None, as_json: AsJson = False) -> None:
    """What is served, and where. Exit code 1 when nothing is."""
    from demo.emulators import process

    with _failures(as_json):
        running = process.status(_places(out))
    if running is None:
        _tell({"running": False}, as_json, "not running; start it with `cdp world up`")
        raise typer.Exit(1)
    _tell(
        {**_described(running), "running": True},
        as_json,
        f"serving {', '.join(running.emulators)} at {running.base_url} (process {running.pid}, as of {running.as_of})",
    )


@app.command(epilog="Example: cdp world serve --port 8700")
def serve(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Loopback port; 0 takes a free one.")] = 0,
    out: Out = None,
) -> None:
    """Serve the emulators in the foreground until interrupted."""
    from demo.emulators.server import serve as run

    with _failures(False):
        run(_places(out), port)


def _world_dir(out: Path | None) -> Path:
    return (out or get_settings().path("world")).resolve()


def _places(out: Path | None) -> Places:
    from demo.emulators.server import Places

    return Places(_world_dir(out), get_settings().path().resolve())


def _described(running: Any) -> dict[str, Any]:
    return {"pid": running.pid, "base_url": running.base_url, "emulators": running.emulators, "as_of": running.as_of}


def _tell_world(summary: WorldSummary, folder: Path, as_json: bool) -> None:
    rows = sum(summary.records.values())
    text = (
        f"{summary.arguments.persons:,} persons, {summary.arguments.days} days, {rows:,} rows in {summary.files} files,"
        f" as of {summary.as_of:%Y-%m-%d %H:%M} UTC: {folder}"
    )
    _tell(summary.model_dump(mode="json"), as_json, text)


def _tell(result: dict[str, Any], as_json: bool, text: str) -> None:
    typer.echo(json.dumps(result, ensure_ascii=False) if as_json else text)


@contextlib.contextmanager
def _failures(as_json: bool) -> Iterator[None]:
    """Print an explained failure and leave with its exit code."""
    try:
        yield
    except CdpError as error:
        typer.echo(json.dumps({"error": error.render()}, ensure_ascii=False) if as_json else error.render(), err=True)
        raise typer.Exit(error.exit_code) from None


@contextlib.contextmanager
def _progress(as_json: bool) -> Iterator[Callable[[str], None] | None]:
    """A status line on a terminal; nothing in pipes and with --json."""
    console = Console(stderr=True)
    if as_json or not console.is_terminal:
        yield None
        return
    with console.status("making the world") as line:
        yield lambda step: line.update(f"making the world: {step}")
