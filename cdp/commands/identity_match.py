"""`cdp identity match`: probabilistic matching of anybody's file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from cdp.commands.output import JsonOption, print_json, print_table


def register(app: typer.Typer) -> None:
    """Add the command to the group `identity`."""
    app.command("match")(match)


def match(
    records: Annotated[Path, typer.Argument(help="Parquet or CSV: record_id (unique) and the model's columns.")],
    model: Annotated[Path, typer.Option(help="Matching model (YAML).")],
    out: Annotated[Path, typer.Option(help="Folder for clusters, pairs, parameters and the report.", file_okay=False)],
    truth: Annotated[str, typer.Option(help="Column that says which records are one: adds precision and recall.")] = "",
    accept: Annotated[float | None, typer.Option(help="Probability to accept from, instead of the model's.")] = None,
    parameters: Annotated[
        Path | None, typer.Option(help="parameters.json of an earlier run: score by it, train nothing.")
    ] = None,
    json_: JsonOption = False,
) -> None:
    """Find records of one entity in a file, by a declared model that is trained without labels (Splink).

    Writes clusters.parquet (record_id, cluster_id), pairs.parquet (probability, and the match weight that each comparison
    adds), parameters.json, report.json and scores.png.

    Example: cdp identity match people.csv --model people.yml --out matched --truth person

    Exit codes: 0 done, 1 nothing can be learnt from these records, 2 wrong call, file or model.
    """
    from cdp.identity.matching_file import match_file
    from cdp.settings import get_settings

    found = match_file(records, model, out, get_settings(), truth=truth or None, accept=accept, learnt=parameters)
    if json_:
        print_json(found)
        return
    rows = [_row(entry, found["accept"]) for entry in found["thresholds"]]
    columns = ["probability", "pairs", "clusters", "records in them", "largest"]
    print_table(
        f"{found['records']:,} records, {found['scored_pairs']:,} pairs scored (clusters of several records)",
        [*columns, *(["precision", "recall", "F1"] if truth else [])],
        rows,
    )
    for warning in found["warnings"]:
        typer.echo(f"warning: {warning}")
    typer.echo(
        f"Written to {out}: clusters at {found['accept']}. Next: look at scores.png before you choose a threshold."
    )


def _row(entry: dict[str, Any], accept: float) -> list[Any]:
    row = [
        f"{entry['at']}{' *' if entry['at'] == accept else ''}",
        *(entry[key] for key in ("pairs", "clusters_of_several", "records_in_them", "largest_cluster")),
    ]
    if "cluster_fit" in entry:
        row += [
            "-" if entry["cluster_fit"][key] is None else f"{entry['cluster_fit'][key]:.4f}"
            for key in ("precision", "recall", "f1")
        ]
    return row
