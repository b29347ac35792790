"""`cdp quarantine`: rows that could not be read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cdp.commands.output import JsonOption, print_json, print_table
from cdp.errors import DeclarationError

SHOWN = 50

app = typer.Typer(
    no_args_is_help=True, help="Rows that could not be read: look at them, correct them, land them after all."
)

SourceOption = Annotated[str | None, typer.Option(help="Only rows of this source.")]


@app.command("list")
def list_(
    source: SourceOption = None,
    export: Annotated[
        Path | None, typer.Option(help="Write the open rows with their original text (personal data!) as JSON lines.")
    ] = None,
    json_: JsonOption = False,
) -> None:
    """Show the open rows: where they stand and why they could not be read. Texts are shown as shapes only.

    Example: cdp quarantine list --source pos --export pos-rows.jsonl

    Exit codes: 0 done, 2 no such source or the file is there already, 3 there is no warehouse yet, 4 it is busy.
    """
    from cdp.settings import get_settings
    from ingest.quarantine import count_open, open_rows
    from ingest.quarantine import export as write

    settings = get_settings()
    _check(source)
    rows = open_rows(settings, source)
    if export:
        write(rows, export)
    if json_:
        shown = [
            {
                "quarantine_key": r.quarantine_key,
                "source": r.source,
                "table_name": r.table_name,
                "origin": r.origin,
                "position": r.position,
                "reason": r.reason,
                "shape": r.masked(),
            }
            for r in rows
        ]
        print_json({"open": len(rows), "exported_to": str(export) if export else None, "rows": shown})
        return
    if rows:
        print_table(
            "Open rows", ["source", "table", "reason", "rows"], [(*key, n) for key, n in count_open(rows).items()]
        )
        print_table(
            f"The first {SHOWN}" if len(rows) > SHOWN else "Rows",
            ["source", "table", "origin", "position", "reason", "shape of the text"],
            [(r.source, r.table_name, r.origin, r.position, r.reason, r.masked()) for r in rows[:SHOWN]],
        )
    typer.echo(f"{len(rows)} open rows{f', written to {export}' if export else ''}.")
    if rows and export:
        typer.echo(f"Next: correct `original` in it, then `cdp quarantine replay {export}`.")
    elif rows:
        typer.echo("Next: `cdp quarantine list --export FILE`, correct the texts, `cdp quarantine replay FILE`.")


@app.command("replay")
def replay(
    file: Annotated[
        Path | None,
        typer.Argument(help="An exported file with corrected texts; without it the rows are tried as they are."),
    ] = None,
    source: SourceOption = None,
    repair: Annotated[
        str | None, typer.Option(help="Correct blocked events by ingest/tracking_plan/repairs/<name>.yml.")
    ] = None,
    json_: JsonOption = False,
) -> None:
    """Land open rows after all, once: with corrected texts, or as they are after a declaration was corrected.

    Rows that still cannot be read stay open. A row whose `original` is null in FILE is given up.

    Example: cdp quarantine replay pos-rows.jsonl

    Exit codes: 0 all landed, 1 rows still unreadable, 2 wrong call or declaration, 3 configuration, 4 busy.
    """
    from cdp.settings import get_settings
    from cdp.warehouse import writer_lock
    from ingest.quarantine import read_corrections
    from ingest.replay import replay as land

    settings = get_settings()
    _check(source)
    if file and repair:
        raise DeclarationError("a file and a repair", where="cdp quarantine replay", expected="one of the two")
    corrections = read_corrections(file) if file else None
    if repair:
        from ingest.tracking_plan.repairs import corrections_of

        corrections = corrections_of(repair, settings, source)
    with writer_lock(settings):
        done = land(settings, corrections=corrections, source=source)
    if json_:
        unreadable = [{"quarantine_key": row.quarantine_key, "reason": why} for row, why in done.unreadable]
        print_json(
            {
                "replayed": done.replayed,
                "discarded": done.discarded,
                "closed_before": done.closed,
                "unreadable": unreadable,
            }
        )
    else:
        if done.unreadable:
            found = [(r.source, r.table_name, r.origin, r.position, why) for r, why in done.unreadable[:SHOWN]]
            print_table("Still unreadable", ["source", "table", "origin", "position", "reason"], found)
        typer.echo(
            f"{done.replayed} rows landed, {done.discarded} given up, {done.closed} done with before, "
            f"{len(done.unreadable)} still unreadable."
        )
    raise typer.Exit(1 if done.unreadable else 0)


def _check(source: str | None) -> None:
    if source:
        from cdp.settings import get_settings
        from cdp.sources import one_source

        one_source(source, get_settings())
