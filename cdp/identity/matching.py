"""Runs a matching model with Splink 5 over a table of records: cleaned columns, training without labels, scored pairs.

Same records, same bytes: rows are put in the order of their ids, training runs on one thread (sums of floating point
numbers depend on their order), samples are drawn by hashes of ids, and figures are rounded behind the digits that
machines agree on.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cdp.errors import CdpError
from cdp.identity.matching_columns import cleaned
from cdp.identity.matching_model import Block, MatchingModel

if TYPE_CHECKING:
    import duckdb

# Of an outcome that training saw (nearly) never among pairs of one entity it learns a probability of 1e-15, and one such typing
# error would outweigh all that agrees. The sample is too small to say less than this.
LEAST_M = 1e-4
CLEAN = "matching_record"
PAIRS = "matching_pair"


class MatchingError(CdpError):
    """The records do not allow to train or to match."""


@dataclass(frozen=True)
class BlockCount:
    """What one entry of `block_on` compares, and what it leaves out because too many records agree on it."""

    columns: list[str]
    pairs: int
    left_out_blocks: int
    left_out_records: int


@dataclass
class Matched:
    """What is known after matching; the pairs stand in the table `matching_pair` of the connection."""

    records: int
    blocks: list[BlockCount]
    prior: float
    parameters: dict[str, list[dict[str, Any]]]
    warnings: list[str] = field(default_factory=list)


def match(
    con: duckdb.DuckDBPyConnection, records: str, model: MatchingModel, *, parameters: dict[str, Any] | None = None
) -> Matched:
    """Score the pairs of the table or view `records` (record_id, unique, and the model's source columns).

    Leaves `matching_record` (record_id and the cleaned columns) and `matching_pair`: record_id_l < record_id_r, probability, match_weight,
    prior_weight, and for each comparison `<label>_outcome` and `<label>_weight`; the weights add up to match_weight.
    With `parameters` (of an earlier training) nothing is trained. Raises MatchingError when training is impossible.
    """
    threads = int(con.execute("select current_setting('threads')").fetchall()[0][0])
    con.execute("set threads = 1")
    try:
        count = _clean(con, records, model)
        blocks = _blocks(con, model)
        if parameters is None:
            _check_trainable(con, model, count)
        _silence_splink()
        linker = _linker(con, model, parameters)
        if parameters is None:
            _train(linker, con, model)
        shown = _parameters(linker, model)
        con.execute(f"set threads = {threads}")
        _predict(linker, con, model)
    finally:
        con.execute(f"set threads = {threads}")
    prior = float(linker._settings_obj._probability_two_random_records_match)
    return Matched(count, blocks, prior, shown, _warnings(con, model, shown))


def pairs_agreeing(con: duckdb.DuckDBPyConnection, block: Block) -> int:
    """How many pairs of cleaned records agree on all columns of a block."""
    names = ", ".join(block)
    return int(
        con.execute(
            f"select coalesce(sum(n * (n - 1) // 2), 0)::bigint from (select count(*) as n from {CLEAN} "
            f"where {_present(block)} group by {names})"
        ).fetchall()[0][0]
    )


def _clean(con: duckdb.DuckDBPyConnection, records: str, model: MatchingModel) -> int:
    """Makes `matching_record`: one row a record, with the blocks' keys beside the columns. Returns the number of rows."""
    columns = [
        f"{cleaned(column.sources, column.clean, column.empty, column.first)} as {name}"
        for name, column in model.columns.items()
    ]
    full = [
        f"{c.columns[0]} || ' ' || {c.columns[1]} as {_full(c.label)}" for c in model.comparisons if c.type == "names"
    ]
    keys = [
        f"case when {_present(block)} and count(*) over (partition by {', '.join(block)}) <= {model.max_block}"
        f" then {' || chr(31) || '.join(block)} end as block_{number}"
        for number, block in enumerate(model.block_on)
    ]
    con.execute(
        f"create or replace temp table {CLEAN} as with columns_cleaned as (select record_id::varchar as record_id, "
        f"{', '.join(columns)} from {records}) select {', '.join(['*', *full, *keys])} from columns_cleaned order by record_id"
    )
    return int(con.execute(f"select count(*) from {CLEAN}").fetchall()[0][0])


def _blocks(con: duckdb.DuckDBPyConnection, model: MatchingModel) -> list[BlockCount]:
    found = []
    for block in model.block_on:
        rows = con.execute(
            f"select coalesce(sum(n * (n - 1) // 2) filter (where n <= {model.max_block}), 0)::bigint, "
            f"count(*) filter (where n > {model.max_block}), coalesce(sum(n) filter (where n > {model.max_block}), 0)::bigint "
            f"from (select count(*) as n from {CLEAN} where {_present(block)} group by {', '.join(block)})"
        ).fetchall()
        found.append(BlockCount(block, *(int(n) for n in rows[0])))
    return found


def _check_trainable(con: duckdb.DuckDBPyConnection, model: MatchingModel, count: int) -> None:
    if count < 2:
        raise MatchingError(f"{count} records; nothing to compare", expected="at least two")
    for key, blocks in (("training.prior.rules", [model.training.prior.rules]), ("training.blocks", None)):
        for group in blocks or [[b] for b in model.training.blocks]:
            if not any(pairs_agreeing(con, block) for block in group):
                named = " nor on ".join(" and ".join(block) for block in group)
                raise MatchingError(
                    f"{key}: no two records agree on {named}, so there is nothing to learn from",
                    expected="columns on which some records agree",
                    fix="look at the columns and their cleaning, or choose other columns",
                )


def _linker(con: duckdb.DuckDBPyConnection, model: MatchingModel, parameters: dict[str, Any] | None) -> Any:
    from splink import DuckDBAPI, Linker, SettingsCreator, block_on

    from cdp.identity.matching_comparisons import splink_comparison

    settings = SettingsCreator(
        link_type="dedupe_only",
        unique_id_column_name="record_id",
        comparisons=[
            splink_comparison(c, _full(c.label), parameters["comparisons"][c.label] if parameters else None)
            for c in model.comparisons
        ],
        blocking_rules_to_generate_predictions=[block_on(f"block_{i}") for i in range(len(model.block_on))],
        retain_matching_columns=True,  # else Splink keeps no outcomes
        retain_intermediate_calculation_columns=True,
    )
    if parameters:
        settings.probability_two_random_records_match = parameters["prior"]
    return Linker(DuckDBAPI(con).register(CLEAN), settings, log_level=None)


def _train(linker: Any, con: duckdb.DuckDBPyConnection, model: MatchingModel) -> None:
    from splink import block_on
    from splink.internals.exceptions import SplinkException

    training = model.training
    try:
        linker.training.estimate_probability_two_random_records_match(
            [block_on(*rule) for rule in training.prior.rules], recall=training.prior.recall
        )
        linker.training.estimate_u_using_random_sampling(
            max_pairs=training.sample_pairs, seed=training.seed, num_chunks=1, min_count_per_level=None
        )
        for block in training.blocks:
            many = pairs_agreeing(con, block) > training.sample_pairs
            linker.training.estimate_parameters_using_expectation_maximisation(
                block_on(*block),
                estimate_without_term_frequencies=True,
                max_pairs=training.sample_pairs if many else None,
            )
    except (SplinkException, ValueError) as error:
        raise MatchingError(
            f"cannot be trained: {str(error).splitlines()[0]}",
            expected="records of which some are the same entity and most are not",
            fix="look at training.blocks and training.prior of the model",
        ) from None


def _predict(linker: Any, con: duckdb.DuckDBPyConnection, model: MatchingModel) -> None:
    """Makes `matching_pair` of Splink's predictions."""
    predicted = linker.inference.predict(threshold_match_probability=model.keep, warning_mode="never")
    found = [d[0] for d in con.execute(f"select * from {predicted.physical_name} limit 0").description]
    columns = []
    for comparison in linker._settings_obj.comparisons:
        name = comparison.output_column_name
        outcomes = " ".join(
            f"when {level.comparison_vector_value} then {_text(level.label_for_charts)}"
            for level in comparison.comparison_levels
        )
        parts = [c for c in (f"mw_{name}", f"mw_tf_adj_{name}") if c in found]
        columns.append(f"case gamma_{name} {outcomes} end as {name}_outcome")
        columns.append(f"round({' + '.join(parts)}, 6) as {name}_weight")
    weights = " + ".join(c for c in found if c.startswith("mw_"))
    con.execute(
        f"create or replace temp table {PAIRS} as select least(record_id_l, record_id_r) as record_id_l, "
        f"greatest(record_id_l, record_id_r) as record_id_r, round(match_probability, 9) as probability, "
        f"round(match_weight, 6) as match_weight, round(match_weight - ({weights}), 6) as prior_weight, {', '.join(columns)} "
        f"from {predicted.physical_name} order by 1, 2"
    )


def _parameters(linker: Any, model: MatchingModel) -> dict[str, list[dict[str, Any]]]:
    """Comparison -> its outcomes with m, u and the weight they give, the nearest first; they are set to what is shown."""
    from math import log2

    found: dict[str, list[dict[str, Any]]] = {}
    for comparison, declared in zip(linker._settings_obj.comparisons, model.comparisons, strict=True):
        found[declared.label] = []
        for level in comparison._comparison_levels_excluding_null:
            trained = bool(level._is_trained)
            m, u = (float(f"{p:.12g}") for p in (max(level.m_probability, LEAST_M), level.u_probability))
            level.m_probability, level.u_probability = m, u
            found[declared.label].append(
                {
                    "outcome": level.label_for_charts,
                    "m": m,
                    "u": u,
                    "weight": round(log2(m / u), 3),
                    "trained": trained,
                }
            )
    return found


def _warnings(con: duckdb.DuckDBPyConnection, model: MatchingModel, parameters: dict[str, Any]) -> list[str]:
    found = []
    for name in model.columns:
        if not con.execute(f"select count({name}) from {CLEAN}").fetchall()[0][0]:
            found.append(f'column "{name}" is empty in every record; it cannot tell anything')
    for label, levels in parameters.items():
        missing = [level["outcome"] for level in levels if not level["trained"]]
        if missing:
            found.append(
                f'comparison "{label}": no training pair had the outcome {", ".join(missing)}; it keeps a default weight'
            )
        if levels[0]["weight"] <= levels[-1]["weight"]:
            found.append(
                f'comparison "{label}": agreement weighs less than difference; training found another pattern than '
                "entities: other training blocks or a better prior are needed"
            )
    return found


def _present(block: Block) -> str:
    return " and ".join(f"{name} is not null" for name in block)


def _full(label: str) -> str:
    return f"{label}_full"


def _text(value: str) -> str:
    from sqlglot import exp

    return exp.Literal.string(value).sql("duckdb")


def _silence_splink() -> None:
    """Splink speaks through logging, and its warnings hold SQL; what matters of them stands in `Matched.warnings`.

    For good and not for a while: several models may train in one process at once.
    """
    import splink  # noqa: F401  first: its import makes its loggers

    for name in ["splink", *(n for n in logging.root.manager.loggerDict if n.startswith("splink."))]:
        logging.getLogger(name).disabled = True
