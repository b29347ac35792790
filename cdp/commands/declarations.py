"""`cdp declarations`: are the YAML declarations right, what is declared, and the schemas that editors use."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cdp.errors import DeclarationError

if TYPE_CHECKING:
    from dbt_declarations.project import Project

app = typer.Typer(
    name="declarations",
    help="Check, list and describe the declarations of tags, scores, life cycle, segments and sources.",
    no_args_is_help=True,
)
# each has `schemas()`: file name -> JSON Schema
SCHEMA_MODULES = (
    "ingest.schemas",
    "ingest.tracking_plan.schemas",
    "dbt_declarations.schemas",
    "expectations.schemas",
    "reverse_etl.schemas",
    "predictions.schemas",
)
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


@app.command(epilog="Example: cdp declarations check --json")
def check(as_json: Json = False) -> None:
    """Check every declaration without running anything; exit code 2 when one is wrong."""
    from cdp.settings import get_settings
    from cdp.sources import all_sources
    from dbt_declarations.compiler import compile_all
    from expectations.suites import read_suites
    from ingest.collector.declaration import all_inputs
    from predictions.declaration import read_models
    from reverse_etl.catalog import resolve_all

    settings = get_settings()
    found_errors: dict[str, DeclarationError] = {}
    files = 0
    # everything that is written in YAML: sources, tags, scores, segments and what they become; suites; syncs; models
    for part in (all_sources, all_inputs, compile_all, read_suites, resolve_all, read_models):
        try:
            made = part(settings)
            files = len(made) if part is compile_all else files
        except DeclarationError as error:
            found_errors.update({e.render(): e for e in error.errors})
    errors = list(found_errors.values())
    if as_json:
        found = [{"where": e.where, "what": e.what, "expected": e.expected, "fix": e.fix} for e in errors]
        typer.echo(json.dumps({"valid": not errors, "files": files, "errors": found}, ensure_ascii=False, indent=1))
    elif errors:
        for wrong in errors:
            typer.echo(wrong.render(), err=True)
        typer.echo(f"{len(errors)} {'error' if len(errors) == 1 else 'errors'}", err=True)
    else:
        typer.echo(f"All declarations are right; they become {files} files.")
    if errors:
        raise typer.Exit(2)


@app.command("list", epilog="Example: cdp declarations list --kind segment")
def list_declarations(
    kind: Annotated[str, typer.Option(help="Only tag, score, segment or lifecycle.")] = "",
    as_json: Json = False,
) -> None:
    """List what is declared, by kind and name; files that cannot be read are left to `check`."""
    from dbt_declarations.project import load_project

    kinds = ("tag", "score", "segment", "lifecycle")
    if kind and kind not in kinds:
        raise DeclarationError(f'unknown kind "{kind}"', where="--kind", expected="one of " + ", ".join(kinds))
    from cdp.settings import get_settings

    settings = get_settings()
    project = load_project(settings.dbt_dir)
    rows = [row for row in _rows(project, settings.project_root) if not kind or row["kind"] == kind]
    if as_json:
        typer.echo(json.dumps(rows, ensure_ascii=False, indent=1))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("kind", "name", "type", "owner", "file", "description")
    for row in rows:
        table.add_row(*(str(row[c]) for c in ("kind", "name", "type", "owner", "file", "description")))
    Console().print(table)
    if project.problems.errors:
        typer.echo(f"{len(project.problems.errors)} more cannot be read: cdp declarations check", err=True)


@app.command(epilog="Example: cdp declarations schema --out docs/schemas")
def schema(
    out: Annotated[Path, typer.Option(help="Folder for the JSON Schemas.", file_okay=False)] = Path("docs/schemas"),
) -> None:
    """Write the JSON Schemas by which editors complete and check the YAML files."""
    from importlib import import_module

    from cdp.settings import get_settings

    folder = get_settings().absolute(out)
    folder.mkdir(parents=True, exist_ok=True)
    for part in SCHEMA_MODULES:
        for name, text in import_module(part).schemas().items():
            (folder / name).write_text(text, encoding="utf-8")
            typer.echo(f"{out / name}")


def _rows(project: Project, root: Path) -> list[dict[str, Any]]:
    from dbt_declarations.project import declared

    rows: list[dict[str, Any]] = []
    for kind, documents in (("tag", project.tags), ("score", project.scores), ("segment", project.segments)):
        for document in documents:
            entry = declared(document)
            rows.append(_row(kind, entry.name, getattr(entry, "type", "declared"), entry, document.path, root))
    for kind, models in (("tag", project.tag_models), ("segment", project.segment_models)):
        rows += [_row(kind, name, "model", None, path, root) for name, path in models.items()]
    if project.lifecycle:
        for machine in project.lifecycle.value.models:
            row = _row("lifecycle", machine.name, "stages", project.lifecycle.value, project.lifecycle.path, root)
            rows.append({**row, "description": machine.description})
    return sorted(rows, key=lambda row: (row["kind"], row["name"]))


def _row(kind: str, name: str, of_type: str, entry: Any, path: Path, root: Path) -> dict[str, Any]:
    return {
        "kind": kind,
        "name": name,
        "type": of_type,
        "owner": entry.owner if entry else "",
        "description": entry.description if entry else "written by hand",
        "file": str(path.relative_to(root)) if path.is_relative_to(root) else str(path),
    }
