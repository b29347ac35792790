"""`cdp segment`: what segments hold, and why somebody is in one or not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cdp.commands.output import JsonOption, print_json, print_table

if TYPE_CHECKING:
    from dbt_declarations.ask import Leaf, Warehouse
    from dbt_declarations.kinds import Segment

app = typer.Typer(name="segment", help="Sizes, members and overlaps of segments.", no_args_is_help=True)


@app.command("list")
def list_segments(json_: JsonOption = False) -> None:
    """All segments with their size, and who entered and left in the last run.

    Example: cdp segment list

    Exit codes: 0 answered, 3 segments are not built yet.
    """
    from dbt_declarations.ask import sizes

    with _warehouse() as warehouse:
        rows = sizes(warehouse)
    columns = ["segment", "owner", "part of", "members", "entered", "left"]
    if json_:
        print_json([dict(zip([c.replace(" ", "_") for c in columns], row, strict=True)) for row in rows])
    else:
        print_table("Segments", columns, rows)


@app.command("show")
def show(
    segment: Annotated[str, typer.Argument(help="Name of a segment.")],
    on: Annotated[str, typer.Option("--on", help="Day (UTC) at whose end it is looked at, e.g. 2026-02-01.")] = "",
    limit: Annotated[int, typer.Option(min=0, help="Members to print at most.")] = 10,
    json_: JsonOption = False,
) -> None:
    """Who is in a segment, or was on a day, and since when. Persons are named by person_id.

    Example: cdp segment show win_back --on 2026-03-01

    Exit codes: 0 answered, 2 there is no such segment or day, 3 segments are not built yet.
    """
    from datetime import date

    from cdp.errors import DeclarationError
    from dbt_declarations.ask import members

    try:
        day = date.fromisoformat(on) if on else None
    except ValueError:
        raise DeclarationError(f'"{on}" is not a day', where="--on", expected="a date such as 2026-02-01") from None
    with _warehouse() as warehouse:
        found = members(warehouse, segment, day)
    if json_:
        listed = [{"person_id": p, "entered_at": at} for p, at in found[:limit]]
        print_json({"segment": segment, "on": on or None, "count": len(found), "members": listed})
        return
    said = f"{segment}: {len(found)} persons" + (f" on {on}" if on else "")
    print_table(said, ["person", "since (UTC)"], found[:limit])


@app.command("count")
def count(
    where: Annotated[str, typer.Option("--where", help="A condition, as in a segment's `where`.")],
    json_: JsonOption = False,
) -> None:
    """How many persons a condition holds for, without saving or building anything.

    Example: cdp segment count --where "revenue_365d > 1000 and in_segment('newsletter_reachable')"

    Exit codes: 0 answered, 2 the condition is wrong, 3 segments are not built yet.
    """
    from dbt_declarations.ask import count as counted

    with _warehouse() as warehouse:
        found, everybody = counted(warehouse, where)
    if json_:
        print_json({"where": where, "count": found, "of": everybody})
    else:
        typer.echo(f"{found:,} of {everybody:,} persons")


@app.command("explain")
def explain(
    person: Annotated[str, typer.Argument(help="person_id, or an identifier of the person.")],
    segment: Annotated[str, typer.Argument(help="Name of a segment.")],
    show_pii: Annotated[bool, typer.Option("--show-pii", help="Print values of personal data, too.")] = False,
    json_: JsonOption = False,
) -> None:
    """Which conditions of a segment hold for a person and which do not, with the values. Personal data is hidden.

    Example: cdp segment explain p_0123456789abcdef0123456789abcdef win_back

    Exit codes: 0 answered, 2 there is no such person or segment, 3 segments are not built yet.
    """
    from dbt_declarations.ask import known, members
    from dbt_declarations.ask import person as named
    from dbt_declarations.explaining import steps as explained

    with _warehouse() as warehouse:
        known(warehouse, segment)
        person_id = named(warehouse, person)
        since = next((at for p, at in members(warehouse, segment, None) if p == person_id), None)
        declared, group = _declaration(segment)
        steps = list(explained(warehouse, person_id, declared, group)) if declared else []
    hidden = set() if show_pii else _personal()
    if json_:
        data = [{"key": key, **_leaf(leaf, hidden)} for key, leaf in steps]
        print_json({"person_id": person_id, "segment": segment, "entered_at": since, "conditions": data})
        return
    typer.echo(f"{person_id} is in {segment} since {since}" if since else f"{person_id} is not in {segment}")
    for n, (key, leaf) in enumerate(steps):
        whole = n + 1 < len(steps) and steps[n + 1][1].depth > leaf.depth
        mark = {True: "yes", False: "no", None: "unknown"}[leaf.holds]
        told = {} if whole else _leaf(leaf, hidden)["values"]
        values = ", ".join(f"{name} = {value}" for name, value in told.items())
        typer.echo(f"{key:<14}{'  ' * leaf.depth}{mark:<8}{leaf.text}" + (f"   [{values}]" if values else ""))
    if declared is None:
        typer.echo("It is written as SQL by hand: look at its model.")


@app.command("overlap")
def overlap(
    segments: Annotated[list[str] | None, typer.Argument(help="Names of segments; all when none is given.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Write the matrix as a PNG to this file.")] = None,
    json_: JsonOption = False,
) -> None:
    """How many persons each two segments share; on the diagonal, their sizes.

    Example: cdp segment overlap champions win_back detractors

    Exit codes: 0 answered, 2 there is no such segment, 3 segments are not built yet.
    """
    from dbt_declarations.ask import overlap as shared

    with _warehouse() as warehouse:
        names, matrix = shared(warehouse, segments or [])
    if plot:
        from cdp.plots import write_overlap

        write_overlap(names, matrix, plot)
        typer.echo(f"written to {plot}", err=True)
    if json_:
        print_json({"segments": names, "shared": matrix})
    else:
        short = [str(n) for n in range(1, len(names) + 1)]
        rows = [(n, name, *row) for n, name, row in zip(short, names, matrix, strict=True)]
        print_table("Persons in both", ["", "segment", *short], rows)


@contextmanager
def _warehouse() -> Iterator[Warehouse]:
    from cdp.settings import get_settings
    from cdp.warehouse import reading
    from dbt_declarations.ask import Warehouse

    settings = get_settings()
    with reading(settings) as con:
        yield Warehouse.open(con, settings.resolve_as_of())


def _declaration(segment: str) -> tuple[Segment | None, list[Segment]]:
    """The declaration of a segment or of the one it is a part of (None for one that is written by hand), and all of its group."""
    from cdp.declarations import load, load_folder
    from cdp.settings import get_settings
    from dbt_declarations.kinds import Segment

    folder = get_settings().dbt_dir / "segments"
    path = folder / f"{segment.split('__', 1)[0]}.yml"
    if not path.exists():
        return None, []
    declared = load(path, Segment).value
    group = [d.value for d in load_folder(folder, Segment) if d.value.group == declared.group] if declared.group else []
    return declared, group


def _leaf(leaf: Leaf, hidden: set[str]) -> dict[str, Any]:
    values = {n: ("(hidden)" if n in hidden and v is not None else v) for n, v in leaf.values}
    return {"depth": leaf.depth, "condition": leaf.text, "holds": leaf.holds, "values": values}


def _personal() -> set[str]:
    """`namespace.column` of columns that hold personal data."""
    from cdp.settings import get_settings
    from dbt_declarations.contracts import read_contracts
    from dbt_declarations.project import PROFILE

    tables = {**PROFILE, "tag": "person_tags"}
    contracts = read_contracts(get_settings().dbt_dir)
    return {
        f"{namespace}.{column.name}"
        for namespace, model in tables.items()
        if model in contracts
        for column in contracts[model].columns.values()
        if column.pii != "none"
    }
