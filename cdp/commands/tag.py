"""`cdp tag`: manual tags, set and taken away by people. Each decision is a file that the next run loads like any source."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cdp.commands.output import JsonOption, print_json

if TYPE_CHECKING:
    from dbt_declarations.decisions import Decision

app = typer.Typer(name="tag", help="Set manual tags and take them away.", no_args_is_help=True)

Person = Annotated[str, typer.Argument(help="Identifier of the person as type:value, e.g. email:kim@shop.example.")]
Tag = Annotated[str, typer.Argument(help="Name of a tag with type manual.")]
By = Annotated[str, typer.Option("--by", help="Who decided; empty: the user of this machine.")]
At = Annotated[str, typer.Option("--at", help="When, ISO 8601 in UTC; empty: now.")]


@app.command("set")
def set_(
    person: Annotated[str, typer.Argument(help="Identifier as type:value; not with --file.")] = "",
    tag: Annotated[str, typer.Argument(help="Name of a tag with type manual; not with --file.")] = "",
    value: Annotated[str, typer.Argument(help="Its value; items of a list are separated by |.")] = "true",
    file: Annotated[
        Path | None, typer.Option(help="CSV with identifier_type, identifier_value, tag, value; an empty value unsets.")
    ] = None,
    by: By = "",
    at: At = "",
    json_: JsonOption = False,
) -> None:
    """Set a manual tag of a person, or those of a file. It counts from the next run on; the latest decision wins.

    Example: cdp tag set crm_contact_id:con_01dc095a5a505c account_plan invest --by wang.lei

    Exit codes: 0 written, 2 the tag, value, identifier or file is wrong (nothing is written then).
    """
    from dbt_declarations.decisions import Decision, of_file

    if file is None and not (person and tag):
        raise typer.BadParameter("PERSON and TAG, or --file")
    _write(of_file(file) if file else [Decision.of(person, tag, value)], by, at, json_)


@app.command("unset")
def unset(person: Person, tag: Tag, by: By = "", at: At = "", json_: JsonOption = False) -> None:
    """Take a manual tag away from a person.

    Example: cdp tag unset crm_contact_id:con_01dc095a5a505c account_plan --by wang.lei

    Exit codes: 0 written, 2 the tag or identifier is wrong.
    """
    from dbt_declarations.decisions import Decision

    _write([Decision.of(person, tag, None)], by, at, json_)


def _write(decisions: list[Decision], by: str, at: str, json_: bool) -> None:
    import getpass

    from cdp.settings import get_settings
    from dbt_declarations.decisions import keep

    path = keep(decisions, get_settings(), by or getpass.getuser(), at)
    if json_:
        print_json({"decisions": len(decisions), "file": str(path)})
    else:
        typer.echo(
            f"{len(decisions):,} decision{'s' if len(decisions) != 1 else ''} written to {path}; the next run reads it"
        )
