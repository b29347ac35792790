"""A matching model inside a dbt build: rows of a dbt model in, scored pairs with their explanation out."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from cdp.identity.matching import PAIRS, MatchingError, match
from cdp.identity.matching_clusters import at_thresholds, read_graph
from cdp.identity.matching_model import MatchingModel, load_model
from cdp.identity.matching_report import parameters, read_parameters, report, write_report
from cdp.settings import get_settings

if TYPE_CHECKING:
    import pyarrow as pa


def pairs_of(records: Any, name: str) -> pa.Table:
    """The pairs of a DuckDB relation by the model dbt_project/matching/<name>.yml, in the order of their ids.

    Columns: record_id_l < record_id_r, probability, match_weight, is_accepted, explanation (JSON). Report, parameters and picture go to
    `<data_dir>/matching/<name>/`. Where nothing can be learnt (too few records, no two alike) there are no pairs, and the report
    says why: a young warehouse must not fail for it.
    """
    import duckdb

    settings = get_settings()
    folder = settings.dbt_dir / "matching"
    model = load_model(folder / f"{name}.yml").value
    out = settings.path("matching", name)
    out.mkdir(parents=True, exist_ok=True)
    known = read_parameters(folder / model.parameters, model) if model.parameters else None
    con = duckdb.connect(config={"threads": settings.threads, "memory_limit": settings.memory_limit})
    try:
        con.register("given", records.to_arrow_table())
        columns = ", ".join(f'"{column}"' for column in dict.fromkeys(["record_id", *model.source_columns]))
        con.execute(f"create temp table records as select {columns} from given")
        try:
            matched = match(con, "records", model, parameters=known)
        except MatchingError as problem:
            (out / "report.json").write_text(
                json.dumps({"model": name, "problem": problem.what}) + "\n", encoding="utf-8"
            )
            return con.sql(f"{_COLUMNS.format(accept=1, explanation='null')} from {_NOTHING}").to_arrow_table()
        graph = read_graph(con)
        found = report(model, matched, graph, con, at_thresholds(graph, [*model.report_at, model.accept]))
        write_report(found, known or parameters(model, matched), out)
        select = _COLUMNS.format(accept=model.accept, explanation=_explanation(model))
        return con.sql(f"{select} from {PAIRS} order by record_id_l, record_id_r").to_arrow_table()
    finally:
        con.close()


_COLUMNS = (
    "select record_id_l, record_id_r, probability, match_weight, probability >= {accept} as is_accepted, "
    "({explanation})::json as explanation"
)
_NOTHING = (
    "(select null::varchar as record_id_l, null::varchar as record_id_r, null::double as probability, "
    "null::double as match_weight where false)"
)


def _explanation(model: MatchingModel) -> str:
    """JSON with the prior's weight, and weight and outcome of every comparison that had something to compare."""
    parts = ["'prior', json_object('weight', round(prior_weight, 3))"]
    for comparison in model.comparisons:
        label = comparison.label
        parts.append(f"'{label}', json_object('weight', round(\"{label}_weight\", 3), 'outcome', \"{label}_outcome\")")
    return f"json_object({', '.join(parts)})"
