"""Train, evaluate and score a declared model of an outcome over the warehouse."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import partial

import duckdb
import numpy as np
import pyarrow as pa

from cdp.declarations import Document
from cdp.errors import RunError
from cdp.settings import Settings
from predictions.artifact import ProbabilityArtifact, Report
from predictions.declaration import ModelFile, OutcomeModel
from predictions.features import CheckedOutcome, compiled, rows_at
from predictions.learning import Rows, learn, probabilities
from predictions.measures import Measures, measure
from predictions.store import read_from
from predictions.then import place, remember_evidence


def cutoffs_of(model: OutcomeModel, as_of: str) -> tuple[list[str], str]:
    """Moments to learn from (oldest first) and the one that is held out, all ISO.

    Every outcome must be known at as_of, so the newest moment lies one horizon back: that one is held out. What is learnt
    from it must have been known at that moment, so the others lie one more horizon back and further.
    """
    now = datetime.fromisoformat(as_of)
    horizon, step = timedelta(days=model.horizon_days), timedelta(days=model.cutoffs.every_days)
    held_out = now - horizon
    learnt = [held_out - horizon - step * n for n in range(model.cutoffs.count)]
    return [m.isoformat() for m in reversed(learnt)], held_out.isoformat()


def train(
    con: duckdb.DuckDBPyConnection, document: Document[ModelFile], settings: Settings, as_of: str
) -> tuple[ProbabilityArtifact, Report]:
    """Learn from the warehouse as it is. Raises DeclarationError, or RunError with too little to learn from."""
    checked = compiled(document, settings)
    moments, held_out = cutoffs_of(checked.model, as_of)
    learnt = labelled_rows(con, checked, moments)
    trained = {"as_of": as_of, "cutoffs": tuple(moments), "held_out_cutoff": held_out}
    rest = labelled_rows(con, checked, [held_out])
    return learn(checked.model, learnt, rest, numbers=checked.numeric, texts=checked.texts, trained=trained)


def evaluate(
    con: duckdb.DuckDBPyConnection,
    document: Document[ModelFile],
    settings: Settings,
    artifact: ProbabilityArtifact,
    as_of: str,
) -> tuple[Measures, str, bool]:
    """What the model would have said one horizon before as_of, against what happened since.

    Returns measures, that moment, and whether the model had not seen it while it learnt.
    """
    checked = compiled(document, settings)
    _, moment = cutoffs_of(checked.model, as_of)
    rows = labelled_rows(con, checked, [moment])
    if not len(rows.label):
        raise RunError(
            f"nobody belongs to the population at {moment}", where=artifact.name, fix="evaluate at a later as_of"
        )
    scored = probabilities(artifact, rows.table)
    newest = max(artifact.trained.cutoffs, default="")
    horizon = timedelta(days=checked.model.horizon_days)
    unseen = not newest or datetime.fromisoformat(moment) >= datetime.fromisoformat(newest) + horizon
    return measure(rows.label, scored.probability), moment, unseen


def current_rows(
    con: duckdb.DuckDBPyConnection, document: Document[ModelFile], settings: Settings, as_of: str
) -> pa.Table:
    """entity_id and features of everybody whom the model is for, as of now, by entity_id."""
    checked = compiled(document, settings)
    return _select(con, rows_at(checked, as_of, labelled=False), checked)


def labelled_rows(con: duckdb.DuckDBPyConnection, checked: CheckedOutcome, moments: list[str]) -> Rows:
    """Rows of several cut-offs, oldest first, with persons as they were told apart at each; a group is a person of today (account) over
    all of them."""
    parts = []
    read_from(checked.model.name, lambda: remember_evidence(con))
    for moment in moments:
        read_from(checked.model.name, partial(place, con, moment))
        parts.append(_select(con, rows_at(checked, moment, labelled=True, then=True), checked))
    table = pa.concat_tables(parts).combine_chunks()
    label = np.asarray(table["label"].to_numpy()).astype(np.int64)
    groups = table["entity_id"].combine_chunks().dictionary_encode().indices
    return Rows(table, label, np.asarray(groups.to_numpy()).astype(np.int64))


def _select(con: duckdb.DuckDBPyConnection, sql: str, checked: CheckedOutcome) -> pa.Table:
    return read_from(checked.model.name, lambda: con.sql(sql).to_arrow_table())
