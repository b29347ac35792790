"""`cdp tracking`: the tracking plan checked, compared, written in other forms; `cdp plan-events`: what comes unplanned."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cdp.commands.output import JsonOption, print_json, print_table
from cdp.errors import ConfigurationError, DeclarationError

if TYPE_CHECKING:
    from cdp.settings import Settings
    from cdp.tracking_plan import Plan

app = typer.Typer(no_args_is_help=True)
events_app = typer.Typer(no_args_is_help=True)


@app.command()
def check(json_: JsonOption = False) -> None:
    """Check the plan: names, rules, sources, and that every example fits its own declaration.

    Example: cdp tracking check

    Exit codes: 0 right, 2 something is wrong.
    """
    from cdp.settings import get_settings
    from cdp.tracking_plan import load_plan
    from ingest.tracking_plan.examples import wrong_examples
    from ingest.tracking_plan.repairs import load_repairs

    settings = get_settings()
    plan = load_plan(settings)
    repairs = load_repairs(settings)
    errors = wrong_examples(plan)
    if errors:
        raise DeclarationError.all_of(errors)
    properties = sum(len(e.properties) for e in plan.events.values())
    if json_:
        print_json({"events": len(plan.events), "properties": properties, "repairs": len(repairs)})
    else:
        typer.echo(
            f"The plan is right: {len(plan.events)} events with {properties} properties, {len(repairs)} repairs."
        )


@app.command()
def coverage(json_: JsonOption = False) -> None:
    """Which planned events arrive from which source, which do not, how many break the plan; and what is unplanned.

    Example: cdp tracking coverage

    Exit codes: 0 done, 2 the plan is wrong, 3 there is no warehouse or no build yet.
    """
    from cdp.settings import get_settings
    from cdp.tracking_plan import load_plan
    from ingest.tracking_plan.coverage import read_coverage

    settings = get_settings()
    rows = read_coverage(load_plan(settings), settings)
    if json_:
        print_json([row.to_dict() for row in rows])
        return
    columns = ["event", "source", "status", "events", "in violation", "blocked", "first day", "last day"]
    print_table(
        "Planned and unplanned events",
        columns,
        [(r.event, r.source, r.status, r.events, r.in_violation, r.blocked, r.first_on, r.last_on) for r in rows],
    )
    missing = sum(r.events == 0 for r in rows)
    typer.echo(f"{missing} planned events never came; {sum(r.status == 'unplanned' for r in rows)} are not planned.")


@app.command()
def export(
    form: Annotated[str, typer.Argument(help="markdown, html, xlsx, csv, jsonschema, python or json.")],
    out: Annotated[Path, typer.Option(help="File to write; for jsonschema a folder.")],
) -> None:
    """Write the plan for others: a data dictionary (markdown, html, xlsx, csv), JSON Schemas, a typed Python module, or JSON.

    Example: cdp tracking export html --out dictionary.html

    Exit codes: 0 done, 2 the plan is wrong or no such form, 3 the file cannot be written.
    """
    from cdp.settings import get_settings
    from cdp.tracking_plan import load_plan
    from ingest.tracking_plan.exporting import FORMS, write

    if form not in FORMS:
        raise DeclarationError(f'no form "{form}"', where="cdp tracking export", expected="one of " + ", ".join(FORMS))
    try:
        written = write(load_plan(get_settings()), form, out)
    except OSError as error:
        raise ConfigurationError(
            f"cannot be written: {error.strerror}", where=str(out), fix="check the folder"
        ) from None
    for path in written:
        typer.echo(str(path))


@app.command("import")
def import_(
    file: Annotated[
        Path, typer.Argument(help="A workbook or CSV as exported, or a JSON plan of Segment or RudderStack.")
    ],
    source: Annotated[list[str], typer.Option(help="Source that sends the events; may be repeated.")],
    owner: Annotated[str, typer.Option(help="Who answers for events that name no owner.")],
    out: Annotated[Path, typer.Option(help="Folder for the YAML files.")] = Path("ingest/tracking_plan"),
    overwrite: Annotated[bool, typer.Option(help="Replace files that are there.")] = False,
    json_: JsonOption = False,
) -> None:
    """Take a plan over: one YAML file an event. What cannot be said here is listed.

    Example: cdp tracking import segment-plan.json --source website --owner digital@lumen.example

    Exit codes: 0 all taken over, 1 some things could not be, 2 the file cannot be read.
    """
    from cdp.settings import get_settings
    from ingest.tracking_plan.importing import read_plan
    from ingest.tracking_plan.writing import write_events

    found = read_plan(file, owner=owner, sources=source)
    written, left = write_events(found.events, get_settings().absolute(out), overwrite=overwrite)
    if json_:
        print_json({"written": [p.name for p in written], "left": [p.name for p in left], "notes": found.notes})
    else:
        typer.echo(f"{len(written)} files written, {len(left)} left as they are.")
        for note in found.notes:
            typer.echo(f"note: {note}")
        typer.echo("Next: say why each is tracked, then `cdp tracking check`.")
    raise typer.Exit(1 if found.notes or left else 0)


@app.command()
def diff(
    against: Annotated[
        str, typer.Option(help="A Git revision, or a folder with another version of the plan.")
    ] = "HEAD",
    json_: JsonOption = False,
) -> None:
    """Compare the plan with another version: what changed, what breaks, and which models, tags, segments and syncs use it.

    Example: cdp tracking diff --against origin/main

    Exit codes: 0 nothing breaks, 1 something does, 2 a plan is wrong.
    """
    from cdp.settings import get_settings
    from cdp.tracking_plan import load_plan
    from dbt_declarations.tracking_usage import read_users, users_of
    from ingest.tracking_plan.changes import changes

    settings = get_settings()
    found = changes(_plan_at(against, settings), load_plan(settings))
    users = read_users(settings) if found else []
    used = [[u.label for u in users_of(c.event, c.path.split("[")[0].split(".")[0] or None, users)] for c in found]
    if json_:
        print_json(
            [
                {"event": c.event, "property": c.path, "change": c.what, "breaking": c.breaking, "used_by": labels}
                for c, labels in zip(found, used, strict=True)
            ]
        )
    else:
        print_table(
            "Changes of the tracking plan",
            ["event", "property", "change", "breaking", "used by"],
            [
                (c.event, c.path, c.what, "yes" if c.breaking else "", ", ".join(u))
                for c, u in zip(found, used, strict=True)
            ],
        )
        typer.echo(f"{len(found)} changes, {sum(c.breaking for c in found)} breaking.")
    raise typer.Exit(1 if any(c.breaking for c in found) else 0)


@app.command()
def usage(
    event: Annotated[str, typer.Argument(help="Name of the event.")],
    property_: Annotated[str | None, typer.Option("--property", help="Only what uses this property of it.")] = None,
    json_: JsonOption = False,
) -> None:
    """Which models, tags, scores, segments and syncs use an event, directly or through others.

    Example: cdp tracking usage "Product Viewed" --property category

    Exit codes: 0 done, 2 no such event.
    """
    from cdp.declarations import suggest
    from cdp.settings import get_settings
    from cdp.tracking_plan import load_plan
    from dbt_declarations.tracking_usage import read_users, users_of

    settings = get_settings()
    names = sorted(e.name for e in load_plan(settings).events.values())
    if event not in names:
        raise DeclarationError(f'no event "{event}"', where="the tracking plan", fix=suggest(event, names))
    found = users_of(event, property_, read_users(settings))
    if json_:
        print_json([{"kind": u.kind, "name": u.name} for u in found])
        return
    print_table(f"Uses of {event}", ["kind", "name"], [(u.kind, u.name) for u in found])


@events_app.command()
def propose(
    write: Annotated[bool, typer.Option(help="Write the proposals as files (status planned) into the plan.")] = False,
    owner: Annotated[str, typer.Option(help="Who answers for them; empty: the plan's owner.")] = "",
    json_: JsonOption = False,
) -> None:
    """List unplanned events and properties with counts, and propose a declaration for each. Values are not shown.

    Example: cdp plan-events propose --write

    Exit codes: 0 done, 2 the plan is wrong, 3 there is no warehouse yet.
    """
    from cdp.settings import get_settings
    from cdp.tracking_plan import load_plan, plan_folder
    from ingest.tracking_plan.proposing import unplanned
    from ingest.tracking_plan.verdict import shown
    from ingest.tracking_plan.writing import event_yaml, write_events

    settings = get_settings()
    plan = load_plan(settings)
    found = unplanned(plan, settings)
    proposals = {u.key: p for u in found if not u.is_planned and (p := u.proposal(owner or plan.settings.owner))}
    if json_:
        print_json(
            [
                {
                    "event": shown(u.name),
                    "is_planned": u.is_planned,
                    "events": u.events,
                    "sources": u.sources,
                    "properties": {shown(n): {"events": c, "type": t} for n, (c, t) in sorted(u.properties.items())},
                    "proposal": event_yaml(proposals[u.key]) if u.key in proposals else None,
                }
                for u in found
            ]
        )
        return
    rows = [(shown(u.name), "event", u.events, ", ".join(u.sources)) for u in found if not u.is_planned]
    rows += [
        (f"{u.name}: {shown(n)} ({kind})", "property", count, ", ".join(u.sources))
        for u in found
        if u.is_planned
        for n, (count, kind) in sorted(u.properties.items())
    ]
    print_table("Not planned", ["name", "what", "events", "sources"], rows)
    if write:
        written, left = write_events(list(proposals.values()), plan_folder(settings), overwrite=False)
        typer.echo(f"{len(written)} files written, {len(left)} were there. Next: complete them, `cdp tracking check`.")
    else:
        for proposal in proposals.values():
            typer.echo(f"\n# ingest/tracking_plan/{proposal.slug}.yml\n{event_yaml(proposal)}")


def _plan_at(against: str, settings: Settings) -> Plan:
    """The plan of a folder or a Git revision."""
    from cdp.tracking_plan import load_plan

    if Path(against).is_dir():
        return load_plan(settings, Path(against))
    git = ["git", "-C", str(settings.project_root)]
    listed = subprocess.run(
        [*git, "ls-tree", "--name-only", against, "ingest/tracking_plan/"], capture_output=True, text=True, check=False
    )
    if listed.returncode:
        raise DeclarationError(f'neither a folder nor a Git revision: "{against}"', where="--against")
    with tempfile.TemporaryDirectory() as folder:
        for name in [line for line in listed.stdout.splitlines() if line.endswith(".yml")]:
            shown = subprocess.run([*git, "show", f"{against}:{name}"], capture_output=True, check=True)
            Path(folder, Path(name).name).write_bytes(shown.stdout)
        return load_plan(settings, Path(folder))
