"""`cdp identity match`: a matching model on anybody's file of records."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cdp.errors import CdpError
from cdp.identity.matching import match
from cdp.identity.matching_clusters import at_thresholds, labels_at, read_graph, write_clusters
from cdp.identity.matching_model import load_model
from cdp.identity.matching_records import RECORDS, RecordsError, read_records
from cdp.identity.matching_report import parameters, read_parameters, report, write_report, write_tables
from cdp.settings import Settings


def match_file(
    records: Path,
    model_path: Path,
    out: Path,
    settings: Settings,
    *,
    truth: str | None = None,
    accept: float | None = None,
    learnt: Path | None = None,
) -> dict[str, Any]:
    """Match the records and write the files of `matching_report.FILES` into `out`. Returns the report.

    `accept` replaces the model's threshold, `learnt` takes the parameters of an earlier run instead of training.
    Raises CdpError.
    """
    import duckdb

    model = load_model(model_path).value
    if accept is not None:
        if not 0 < accept < 1:
            raise RecordsError(f"{accept} is not a probability", where="--accept", expected="a number between 0 and 1")
        model = model.model_copy(update={"accept": accept, "keep": min(model.keep, accept)})
    known = read_parameters(learnt, model) if learnt else None
    con = duckdb.connect(config={"threads": settings.threads, "memory_limit": settings.memory_limit})
    try:
        read_records(con, records, model, truth)
        try:
            out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CdpError(f"is no folder that can be written: {error.strerror}", where=str(out)) from None
        matched = match(con, RECORDS, model, parameters=known)
        if truth:
            con.execute(
                f"create or replace temp table matching_truth as select record_id, nullif(trim({_quoted(truth)}), '') as truth from {RECORDS}"
            )
        graph = read_graph(con, "matching_truth" if truth else None)
        write_clusters(con, labels_at(graph, model.accept))
        write_tables(con, out)
        found = report(model, matched, graph, con, at_thresholds(graph, [*model.report_at, model.accept]))
        write_report(found, known or parameters(model, matched), out)
    finally:
        con.close()
    return found


def _quoted(name: str) -> str:
    from sqlglot import exp

    return exp.to_identifier(name, quoted=True).sql("duckdb")
