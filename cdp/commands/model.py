"""`cdp model`: predictive scores, over the warehouse or over anybody's file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cdp.commands.output import JsonOption, print_json, print_table
from cdp.errors import DeclarationError

if TYPE_CHECKING:
    from predictions.artifact import Report
    from predictions.measures import Measures

app = typer.Typer(
    name="model",
    help="Train, evaluate and score predictive models; explain a prediction.",
    no_args_is_help=True,
)
AsOf = Annotated[str, typer.Option(help="The 'now' of training or scoring, ISO 8601 in UTC (default: CDP_AS_OF).")]
Name = Annotated[str, typer.Argument(help="Model declared in dbt_project/scores/models.", show_default=False)]


@app.command(epilog="Example: cdp model train first_order_14d")
def train(
    name: Name = "",
    data: Annotated[Path | None, typer.Option(help="Learn from this file (CSV, Parquet, JSON lines).")] = None,
    label: Annotated[str, typer.Option(help="With --data: the column with the outcome.")] = "",
    model: Annotated[Path | None, typer.Option(help="With --data: YAML of a table model.")] = None,
    out: Annotated[Path, typer.Option(help="With --data: folder for the model.", file_okay=False)] = Path("model"),
    as_of: AsOf = "",
    json_: JsonOption = False,
) -> None:
    """Train a declared model on the warehouse, or with --data, --label and --model one on a file.

    Exit codes: 0 trained, 1 too little to learn from, 2 a declaration or argument is wrong, 3 configuration, 4 busy.
    """
    if data is not None:
        if name or model is None:
            raise DeclarationError("--data needs --model FILE and no NAME", where="cdp model train", fix="see --help")
        from predictions.declaration import read_table_model
        from predictions.plots import write_plots
        from predictions.table_model import train_file

        made = train_file(data, read_table_model(model), label or None, out)
        write_plots(made.report, out)
        said: dict[str, Any] = {"version": made.version, "folder": str(out), "quarantined": made.quarantined}
        _show(made.report, {"version": made.version, **made.artifact.trained.model_dump()}, said, json_)
        if made.quarantined and not json_:
            typer.echo(f"{sum(made.quarantined.values())} rows were set aside: {out / 'quarantine.csv'}")
        return
    if not name:
        raise DeclarationError("which model?", where="cdp model train", expected="NAME, or --data with --model")
    from cdp.settings import get_settings
    from cdp.warehouse import publish, writer_lock, writing
    from predictions import service

    settings = _settings(as_of)
    with writer_lock(settings):
        with writing(settings) as con:
            done = service.train(con, name, settings, settings.resolve_as_of())
            service.score(con, name, settings, settings.resolve_as_of())
        publish(settings)
    get_settings.cache_clear()
    _show(
        done.report, {"version": done.version, **done.artifact.trained.model_dump()}, {"version": done.version}, json_
    )


@app.command(epilog="Example: cdp model evaluate first_order_14d --as-of 2026-03-15")
def evaluate(name: Name, as_of: AsOf = "", json_: JsonOption = False) -> None:
    """What the current version would have said one horizon ago, against what happened since.

    Exit codes: 0 evaluated, 1 never trained, 2 unknown model, 3 configuration.
    """
    from cdp.warehouse import reading
    from predictions import service

    settings = _settings(as_of)
    with reading(settings) as con:
        found = service.evaluate(con, name, settings, settings.resolve_as_of())
    if json_:
        measures = found.measures.model_dump() if found.measures else {}
        print_json(
            {"model": name, "version": found.version, "cutoff": found.cutoff, "unseen": found.unseen}
            | {"measures": measures, "lifetime": found.lifetime}
        )
        return
    if found.measures:
        _print_measures(f"{name} {found.version} at {found.cutoff}", {"then": found.measures})
        _print_bins(found.measures)
    else:
        print_table(f"{name} {found.version} at {found.cutoff}", ["figure", "value"], found.lifetime.items())
    if not found.unseen:
        typer.echo("The model had learnt from outcomes after this moment: these measures flatter it.")


@app.command(epilog="Example: cdp model score --data leads.csv --model model --out scored.csv")
def score(
    name: Name = "",
    data: Annotated[Path | None, typer.Option(help="Score this file (CSV, Parquet, JSON lines).")] = None,
    model: Annotated[Path, typer.Option(help="With --data: the folder that `train --out` wrote.")] = Path("model"),
    out: Annotated[Path, typer.Option(help="With --data: .csv, .parquet or .jsonl to write.")] = Path("scored.csv"),
    as_of: AsOf = "",
    json_: JsonOption = False,
) -> None:
    """Score everybody with a trained model (all of them when no NAME is given), or the rows of a file.

    Exit codes: 0 scored, 1 never trained, 2 a declaration or argument is wrong, 3 configuration, 4 busy.
    """
    if data is not None:
        if name:
            raise DeclarationError("--data needs --model DIR and no NAME", where="cdp model score", fix="see --help")
        from predictions.table_model import score_file

        rows, quarantined = score_file(data, model, out)
        if json_:
            print_json({"rows": rows, "out": str(out), "quarantined": quarantined})
        else:
            aside = sum(quarantined.values())
            more = f"; {aside} rows were set aside: {out}.quarantine.csv" if aside else ""
            typer.echo(f"{rows} rows scored: {out}{more}")
        return
    from cdp.warehouse import publish, writer_lock, writing
    from predictions import service

    settings = _settings(as_of)
    with writer_lock(settings):
        with writing(settings) as con:
            moment = settings.resolve_as_of()
            found: dict[str, int | str] = (
                {name: service.score(con, name, settings, moment)} if name else service.score_all(con, settings, moment)
            )
        publish(settings)
    if json_:
        print_json(found)
    else:
        print_table("Scored", ["model", "persons or accounts"], found.items())


@app.command("list", epilog="Example: cdp model list")
def list_models(json_: JsonOption = False) -> None:
    """The declared models, their current versions and how good they are."""
    from cdp.settings import get_settings
    from predictions.artifact import current
    from predictions.declaration import read_models

    settings = get_settings()
    rows = []
    for name, document in read_models(settings).items():
        model, found = document.value.root, current(settings, name)
        held_out = found[2].held_out if found else None
        rows.append(
            {
                "model": name,
                "type": model.type,
                "version": found[0] if found else None,
                "trained_as_of": found[1].trained.as_of if found else None,
                "auc": held_out.auc if held_out else None,
                "owner": model.owner,
                "description": model.description,
            }
        )
    if json_:
        print_json(rows)
    else:
        columns = ["model", "type", "version", "trained_as_of", "auc", "owner", "description"]
        print_table("Predictive models", columns, [[r[c] for c in columns] for r in rows])


@app.command(epilog="Example: cdp model explain first_order_14d p_0001b5137a463186b5e64db63c0c0172")
def explain(
    name: Name,
    entity: Annotated[str, typer.Argument(help="person_id, or account_key for a model of accounts.")],
    json_: JsonOption = False,
) -> None:
    """The last prediction for one person or account, and the features that moved it most.

    Exit codes: 0 explained, 1 there is no prediction, 3 there is no warehouse yet.
    """
    import duckdb

    from cdp.errors import RunError
    from cdp.settings import get_settings
    from cdp.warehouse import reading

    key = {"model": name, "entity": entity}
    with reading(get_settings()) as con:
        try:
            found = con.execute(
                "select probability, expected_orders, expected_value, version, as_of from predictions.prediction"
                " where model = $model and entity_id = $entity",
                key,
            ).fetchone()
            reasons = con.execute(
                "select feature, feature_value, effect from predictions.prediction_reason"
                " where model = $model and entity_id = $entity order by position",
                key,
            ).fetchall()
        except duckdb.CatalogException:
            found, reasons = None, []
    if not found:
        raise RunError(
            "there is no prediction",
            where=f"{name}, {entity}",
            fix="`cdp model list` for models, `cdp model score` to score",
        )
    said = dict(zip(["probability", "expected_orders", "expected_value", "version", "as_of"], found, strict=True))
    if json_:
        print_json(said | {"reasons": [dict(zip(["feature", "value", "effect"], r, strict=True)) for r in reasons]})
        return
    print_table(f"{name}: {entity}", ["figure", "value"], [[k, v] for k, v in said.items() if v is not None])
    print_table("Moved most by (log-odds; + is more likely)", ["feature", "value", "effect"], reasons)


def _settings(as_of: str) -> Any:
    import os

    from cdp.settings import get_settings

    if as_of:
        os.environ["CDP_AS_OF"] = as_of
        get_settings.cache_clear()
    return get_settings()


def _show(report: Report, trained: dict[str, Any], said: dict[str, Any], json_: bool) -> None:
    if json_:
        print_json(said | {"trained": trained, "report": report.model_dump(mode="json")})
        return
    print_table(
        "Trained", ["what", "value"], [[k, ", ".join(v) if isinstance(v, tuple) else v] for k, v in trained.items()]
    )
    sets = {"held out": report.held_out, "cross-validated": report.cross_validated}
    _print_measures("Measures", {n: m for n, m in sets.items() if m})
    if report.held_out:
        _print_bins(report.held_out)
        print_table("What moves it", ["feature", "mean effect (log-odds)"], list(report.importance.items())[:10])
    if report.lifetime:
        print_table("Held out", ["figure", "value"], report.lifetime.items())
    for warned in report.warnings:
        typer.secho(f"leakage warning: {warned.feature}: {warned.why}", fg="yellow", err=True)


def _print_measures(title: str, sets: dict[str, Measures]) -> None:
    if not sets:
        return
    rows = [
        [
            name,
            m.rows,
            m.positives,
            m.auc,
            m.auc_error,
            m.average_precision,
            m.brier,
            m.brier_of_base_rate,
            m.calibration_gap,
        ]
        for name, m in sets.items()
    ]
    columns = [
        "rows of",
        "rows",
        "positives",
        "AUC",
        "+/-",
        "average precision",
        "Brier",
        "Brier of base rate",
        "calibration gap",
    ]
    print_table(title, columns, rows)


def _print_bins(measures: Measures) -> None:
    rows = [[n, b.rows, b.predicted, b.observed, b.lift] for n, b in enumerate(measures.bins, 1)]
    print_table("Tenths, most likely first", ["tenth", "rows", "predicted", "observed", "lift so far"], rows)
