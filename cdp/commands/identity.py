"""`cdp identity`: who is who, why, and what a change of rules would do."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cdp.commands.output import JsonOption, print_json, print_table

app = typer.Typer(no_args_is_help=True, help="Who is who, why, and what a change of rules would do.")


@app.callback()
def identity() -> None:
    """Who is who, why, and what a change of rules would do."""


@app.command()
def resolve(
    observations: Annotated[
        Path,
        typer.Argument(
            help="Parquet or CSV: record_id, sequence, identifier_type, identifier_value; optional tier, observed_at."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for the answer.")],
    rules: Annotated[
        Path | None,
        typer.Option(
            help="Folder with identifier_types.csv, blocked_identifiers.csv, identity_overrides.csv; the project's where one is missing."
        ),
    ] = None,
    state: Annotated[Path | None, typer.Option(help="Folder that keeps what was seen: calls add up.")] = None,
    json_: JsonOption = False,
) -> None:
    """Put the records of a file together into persons, with the project's own models, in a scratch warehouse.

    Writes person_identifier, record_person, refusals and rejected as Parquet files.

    Example: cdp identity resolve observations.parquet --rules rules --out answer --state seen

    Exit codes: 0 done (rows that could not be used are counted and written), 1 could not be built, 2 a file or rule is wrong,
    3 a folder cannot be written.
    """
    from cdp.identity.resolve import resolve as run
    from cdp.settings import get_settings
    from dbt_declarations.sources import pattern_macros

    found = run(observations, rules, out, state, get_settings(), pattern_macros)
    if json_:
        print_json(found.to_dict())
        return
    typer.echo(
        f"{found.identifiers:,} identifiers and {found.records:,} records of {found.persons:,} persons,"
        f" {found.refusals:,} edges refused: {out}"
    )
    if found.rejected:
        print_table("Rows that could not be used (rejected.parquet)", ["reason", "rows"], found.rejected.items())
