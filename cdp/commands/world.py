"""`cdp world`: make the demo world, let it grow, serve it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cdp.commands.output import JsonOption, print_json

if TYPE_CHECKING:
    from demo.emulators.process import Running
    from demo.emulators.server import Places
    from demo.world.summary import WorldSummary

app = typer.Typer(
    no_args_is_help=True, help="The demo world: a generated company with known true persons, and its emulated vendors."
)

Out = Annotated[Path | None, typer.Option("--out", help="The world's folder; <data_dir>/world by default.")]
Threads = Annotated[int, typer.Option(min=1, max=64, help="Threads; they change the time it takes, not the bytes.")]


@app.command()
def generate(
    persons: Annotated[int, typer.Option(help="Persons who arrive over the horizon (up to 1,000,000).")] = 2_000,
    days: Annotated[int, typer.Option(help="Days to write, from 2026-01-01 on (up to 4,096).")] = 60,
    seed: Annotated[int, typer.Option(help="Seed; the same arguments give the same bytes.")] = 7,
    horizon: Annotated[int | None, typer.Option(help="Days over which persons arrive; --days by default.")] = None,
    out: Out = None,
    threads: Threads = 2,
    json_: JsonOption = False,
) -> None:
    """Write a world, replacing the one that is there.

    Example: cdp world generate --persons 2000 --days 60 --seed 7

    Exit codes: 0 written, 1 arguments out of range, 3 the folder holds something else.
    """
    from demo.world import generate as make

    with _progress(json_) as progress:
        summary = make(persons, days, seed, _world_dir(out), horizon, threads=threads, progress=progress)
    _tell_world(summary, _world_dir(out), json_)


@app.command()
def advance(
    days: Annotated[int, typer.Option(help="Days to add.")] = 1,
    out: Out = None,
    threads: Threads = 2,
    json_: JsonOption = False,
) -> None:
    """Let the world live on: new daily files appear, old ones stay, backing tables change.

    Example: cdp world advance --days 1

    Exit codes: 0 written, 1 arguments out of range, 3 there is no world.
    """
    from demo.world import advance as grow

    with _progress(json_) as progress:
        summary = grow(_world_dir(out), days, threads=threads, progress=progress)
    _tell_world(summary, _world_dir(out), json_)


@app.command()
def up(out: Out = None, json_: JsonOption = False) -> None:
    """Start all emulators as one background process and write <data_dir>/world.env.

    Example: cdp world up

    Exit codes: 0 it serves (also when it did before), 1 it did not come up, 3 there is no world, 4 a server hangs.
    """
    from demo.emulators import process

    running, is_new = process.up(_places(out))
    if json_:
        print_json({**_described(running), "started": is_new})
    else:
        typer.echo(f"{'now' if is_new else 'already'} {_sentence(running)}")


@app.command()
def down(json_: JsonOption = False) -> None:
    """End the background process and remove world.env.

    Example: cdp world down

    Exit codes: 0 nothing runs any more, 1 the process cannot be ended.
    """
    from demo.emulators import process

    pid = process.down(_places(None))
    if json_:
        print_json({"ended": pid})
    else:
        typer.echo("nothing was running" if pid is None else f"ended process {pid}")


@app.command()
def status(json_: JsonOption = False) -> None:
    """What is served, and where.

    Example: cdp world status --json

    Exit codes: 0 it serves, 1 nothing does.
    """
    from demo.emulators import process

    running = process.status(_places(None))
    if json_:
        print_json({"running": False} if running is None else {"running": True, **_described(running)})
    else:
        typer.echo("not running; start it with `cdp world up`" if running is None else _sentence(running))
    raise typer.Exit(1 if running is None else 0)


@app.command()
def serve(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Loopback port; 0 takes a free one.")] = 0,
    out: Out = None,
) -> None:
    """Serve the emulators in the foreground until interrupted.

    Example: cdp world serve --port 8700

    Exit codes: 0 interrupted, 3 there is no world, 4 another server is running.
    """
    from demo.emulators.server import serve as run

    run(_places(out), port)


@app.command(epilog="Example: cdp world evaluate")
def evaluate(out: Out = None, json_: JsonOption = False) -> None:
    """How well the last run put records together into persons, against the world's truth: precision and recall."""
    from cdp.commands.output import print_table
    from cdp.settings import get_settings
    from cdp.warehouse import open_database
    from demo.world.evaluate import evaluate as measure

    settings = get_settings()
    path = settings.published_path if settings.published_path.exists() else settings.warehouse_path
    con = open_database(path, read_only=True, settings=settings)
    try:
        con.execute("create temp table judged as select distinct record_id, person_id from identity.record_person")
        # what is blocked ties nobody, so it reaches nobody either
        con.execute(
            "create temp table linking as select o.record_id, o.identifier_key from conformed.identifier_observation as o"
            " inner join identity.identifier as i on o.identifier_key = i.identifier_key where i.blocked_reason is null"
        )
        found = measure(con, "judged", _world_dir(out) / "truth", "linking")
    finally:
        con.close()
    if json_:
        print_json(found.as_dict())
        return
    rows = [("all records", found.overall), *found.per_mess.items()]
    print_table(
        "Persons against the truth (pairs of records)",
        ["kind of mess", "records", "precision", "recall", "F1", "recall of what exact links reach"],
        [
            (kind, s.records, *(_share(v) for v in (s.precision, s.recall, s.f1, s.reachable_recall)))
            for kind, s in rows
        ],
    )


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _world_dir(out: Path | None) -> Path:
    from cdp.settings import get_settings

    return (out or get_settings().path("world")).resolve()


def _places(out: Path | None) -> Places:
    from cdp.settings import get_settings
    from demo.emulators.server import Places

    return Places(_world_dir(out), get_settings().path().resolve())


def _described(running: Running) -> dict[str, Any]:
    return {"pid": running.pid, "base_url": running.base_url, "emulators": running.emulators, "as_of": running.as_of}


def _sentence(running: Running) -> str:
    names = ", ".join(running.emulators)
    return f"serving {names} at {running.base_url} (process {running.pid}, world as of {running.as_of})"


def _tell_world(summary: WorldSummary, folder: Path, json_: bool) -> None:
    if json_:
        print_json(summary.model_dump(mode="json"))
        return
    typer.echo(
        f"{summary.arguments.persons:,} persons, {summary.arguments.days} days, {sum(summary.records.values()):,} rows"
        f" in {summary.files:,} files, as of {summary.as_of:%Y-%m-%d %H:%M} UTC: {folder}"
    )


@contextlib.contextmanager
def _progress(json_: bool) -> Iterator[Callable[[str], None] | None]:
    """A status line on a terminal; nothing in pipes and with --json."""
    from rich.console import Console

    console = Console(stderr=True)
    if json_ or not console.is_terminal:
        yield None
        return
    with console.status("making the world") as line:
        yield lambda step: line.update(f"making the world: {step}")
