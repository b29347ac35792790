"""Train and score a table model on files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cdp.errors import ConfigurationError, DeclarationError
from predictions.artifact import ProbabilityArtifact, Report, read, write
from predictions.declaration import TableModel
from predictions.files import FileRows, features_of, open_file, outcome, table_of
from predictions.leakage import telling_names
from predictions.learning import Rows, learn, probabilities
from predictions.reasons import top_reasons

QUARANTINE = "quarantine.csv"
WRITERS = {".csv": "(header, delimiter ',')", ".parquet": "(format parquet)", ".jsonl": "(format json)"}


@dataclass(frozen=True)
class FileTraining:
    """What training on a file made."""

    version: str
    artifact: ProbabilityArtifact
    report: Report
    quarantined: dict[str, int]


def train_file(path: Path, model: TableModel, label: str | None, out: Path) -> FileTraining:
    """Learn from a file and write the model, its measures and the quarantined rows to `out`.

    A row is held out by the hash of its id and the seed, so that a longer file keeps the others where they were.
    Raises ConfigurationError, DeclarationError or RunError (too few rows).
    """
    label = label or model.label
    if label is None:
        raise DeclarationError(
            "no outcome is named", where="--label", expected="a column, here or as `label:` in the YAML"
        )
    rows = open_file(path, model, label=label)
    numbers, texts = features_of(rows, model, label)
    out.mkdir(parents=True, exist_ok=True)
    rows.write_quarantine(out / QUARANTINE)
    seed = model.seed
    more = {
        "label": f"cast({outcome(label, model)} as bigint)",
        "group": f"cast(md5_number_lower({seed}::varchar || ':' || \"{model.id.replace(chr(34), chr(34) * 2)}\") >> 2 as bigint)",
    }
    table = table_of(rows, tuple(numbers), tuple(texts), {f"__{k}": v for k, v in more.items()})
    group = np.asarray(table["__group"].to_numpy())
    held = (group % 10_000) < model.held_out * 10_000
    learnt, rest = _part(table, ~held), _part(table, held)
    artifact, report = learn(
        model,
        learnt,
        rest,
        numbers=numbers,
        texts=texts,
        trained={"as_of": None},
        warnings=telling_names([*numbers, *texts]),
    )
    return FileTraining(write(out, artifact, report), artifact, report, rows.reasons())


def score_file(path: Path, folder: Path, out: Path) -> tuple[int, dict[str, int]]:
    """Score a file with a trained table model; returns (rows scored, reasons of quarantine with counts).

    Writes id, probability and the features that moved it most, in the file's order; what cannot be scored goes to
    `<out>.quarantine.csv`. Raises ConfigurationError or DeclarationError.
    """
    artifact, _ = read(folder)
    if not isinstance(artifact, ProbabilityArtifact) or artifact.declaration.get("type") != "table":
        raise ConfigurationError(
            "is no model over a table", where=str(folder), expected="what `cdp model train --data` wrote"
        )
    if out.suffix.lower() not in WRITERS:
        raise DeclarationError(
            f'cannot write "{out.name}"', where="--out", expected="a name that ends in " + ", ".join(WRITERS)
        )
    model = TableModel.model_validate(artifact.declaration)
    rows = open_file(path, model, label=None)
    missing = [f for f in artifact.encoder.features if f not in rows.columns]
    if missing:
        raise DeclarationError(
            f"columns that the model reads are missing: {', '.join(missing)}",
            where=str(path),
            expected="the columns it was trained on",
            fix="add them (they may be empty)",
        )
    table = table_of(
        rows, artifact.encoder.numbers, artifact.encoder.texts, {"__id": f'"{model.id.replace(chr(34), chr(34) * 2)}"'}
    )
    scored = probabilities(artifact, table)
    reasons = top_reasons(scored, table)
    by_row: list[list[str]] = [[] for _ in range(table.num_rows)]
    for row, feature, effect in zip(
        reasons["row"].to_pylist(), reasons["feature"].to_pylist(), reasons["effect"].to_pylist(), strict=True
    ):
        by_row[row].append(f"{feature} {effect:+.2f}")
    _write(rows, out, table["__id"], scored.probability, by_row)
    rows.write_quarantine(out.with_name(out.name + ".quarantine.csv"))
    return table.num_rows, rows.reasons()


def _part(table: pa.Table, chosen: np.ndarray) -> Rows:
    part = table.filter(pa.array(chosen))
    label = np.asarray(pc.fill_null(part["__label"], 0).to_numpy())
    return Rows(part, label.astype(np.int64), np.asarray(part["__group"].to_numpy()).astype(np.int64))


def _write(rows: FileRows, out: Path, ids: pa.ChunkedArray, probability: np.ndarray, reasons: list[list[str]]) -> None:
    found = pa.table({"id": ids, "probability": np.round(probability, 6), "reasons": ["; ".join(r) for r in reasons]})
    out.parent.mkdir(parents=True, exist_ok=True)
    rows.con.register("scored", found)
    rows.con.execute(
        f"copy (select * from scored) to '{str(out).replace(chr(39), chr(39) * 2)}' {WRITERS[out.suffix.lower()]}"
    )
