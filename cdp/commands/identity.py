"""`cdp identity`: who is who, why, and what a change of rules would do."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

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


@app.command()
def why(
    identifiers: Annotated[
        list[str], typer.Argument(help="One or two identifiers: type:value, or a value that only one type has.")
    ],
    as_of: Annotated[
        str | None,
        typer.Option(help="The persons of the last run up to this moment (ISO 8601, UTC), and the evidence it had."),
    ] = None,
    json_: JsonOption = False,
) -> None:
    """Who an identifier is; or by which evidence two are one person, and which rule keeps them apart.

    Example: cdp identity why email:mia@example.com phone:+4915112345678

    Exit codes: 0 answered, 2 an identifier is not known or the call is wrong, 3 there is no warehouse yet, 4 it is busy.
    """
    from cdp.errors import DeclarationError
    from cdp.identity.why import check_warehouse, explain
    from cdp.settings import get_settings
    from cdp.warehouse import reading

    if len(identifiers) > 2:
        raise DeclarationError(f"{len(identifiers)} identifiers were given", where="why", expected="one or two")
    with reading(get_settings()) as con:
        check_warehouse(con)
        found = explain(con, identifiers, as_of)
    if json_:
        print_json(found.to_dict())
        return
    for person in found.persons:
        typer.echo(f"{person.identifier}: {person.person_id or '-'} {person.remark}".rstrip())
        if found.same is None:
            for title, rows in (
                ("Identifiers", person.identifiers),
                ("Refused edges", person.refused),
                ("Events", person.events),
            ):
                if rows:
                    print_table(title, list(rows[0]), [list(row.values()) for row in rows])
    if found.verdict:
        typer.echo(found.verdict)
    for link in found.chain:
        shown = f"override: {link.override}" if link.override else f"tier {link.tier}, {_record(link)}"
        typer.echo(
            f"  {link.left} -- {link.right}: " + (f"refused by {link.refused} ({shown})" if link.refused else shown)
        )


def _record(link: Any) -> str:
    if link.record_id is None:
        return "a pair of a matching model"
    return f"record {link.record_id}" + (f" of {link.source} at {link.observed_at}" if link.observed_at else "")


@app.command()
def preview(
    rules: Annotated[
        Path | None, typer.Option(help="Folder with the rules; default: the working tree's seeds/identity.")
    ] = None,
    json_: JsonOption = False,
) -> None:
    """What changed rules or overrides would do: persons that would merge and split. Nothing is written.

    Example: cdp identity preview

    Exit codes: 0 answered, 1 could not be built, 2 a rule is wrong, 3 there is no warehouse yet, 4 it is busy.
    """
    from cdp.identity.preview import preview as run
    from cdp.settings import get_settings
    from dbt_declarations.sources import pattern_macros

    found = run(get_settings(), rules, pattern_macros)
    if json_:
        print_json(found.to_dict())
        return
    typer.echo(
        f"{found.persons_before:,} persons would be {found.persons_after:,}: {found.persons_merged:,} would merge into"
        f" {found.merges:,}, {found.splits:,} would split; {found.records_moved:,} records would move"
    )
    for title, rows in (
        ("Persons that would be made of several", found.largest_merges),
        ("Persons that would split", found.largest_splits),
    ):
        if rows:
            shown = [(r["person_id"], r["identifiers"], len(r["persons"]), ", ".join(r["persons"][:3])) for r in rows]
            print_table(title, ["person", "identifiers", "persons", "of"], shown)
    rules_ = sorted(found.refusals_before.keys() | found.refusals_after.keys())
    if rules_:
        print_table(
            "Edges refused",
            ["rule", "now", "then"],
            [(r, found.refusals_before.get(r, 0), found.refusals_after.get(r, 0)) for r in rules_],
        )
    for note in found.notes:
        typer.echo(note)
