"""How well records were put together into persons, measured against the truth of a demo world.

Pairwise: of all pairs of records that belong to one true person, how many were put together (recall); of all pairs that
were put together, how many belong together (precision). Pairs are counted, never listed: a group of n records has
n * (n - 1) / 2 of them. Records of bots are left out; a record without a person stands alone. Recall cannot reach 1: a
cookie that was deleted before its owner ever told who they are is tied to nothing. So a second recall is over the pairs that
exact links can reach at all: records of one true person that are connected through identifiers on that person's records.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import duckdb
from sqlglot import exp

from cdp.errors import ConfigurationError


@dataclass(frozen=True)
class Score:
    """Counts of pairs and what follows from them. A ratio without a denominator is None."""

    records: int
    true_pairs: int
    predicted_pairs: int
    correct_pairs: int
    reachable_pairs: int | None = None

    @property
    def reachable_recall(self) -> float | None:
        """Share of the pairs within exact links' reach that were predicted; None where observations are not known."""
        return self.correct_pairs / self.reachable_pairs if self.reachable_pairs else None

    @property
    def precision(self) -> float | None:
        """Share of the predicted pairs that are correct."""
        return self.correct_pairs / self.predicted_pairs if self.predicted_pairs else None

    @property
    def recall(self) -> float | None:
        """Share of the true pairs that were predicted."""
        return self.correct_pairs / self.true_pairs if self.true_pairs else None

    @property
    def f1(self) -> float | None:
        """Harmonic mean of precision and recall."""
        total = self.predicted_pairs + self.true_pairs
        return 2 * self.correct_pairs / total if total else None

    def as_dict(self) -> dict[str, Any]:
        """Counts and ratios, for JSON."""
        return {
            **asdict(self),
            "precision": self.precision,
            "recall": self.recall,
            "f1": self.f1,
            "reachable_recall": self.reachable_recall,
        }


@dataclass(frozen=True)
class Evaluation:
    """Scores over all records and over the persons that each kind of mess happened to.

    `missing`: true records that the table does not name or names without a person. `unknown`: named records that are
    nobody's in the truth (accounts, records of another world).
    """

    overall: Score
    per_mess: dict[str, Score]
    missing: int
    unknown: int

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "overall": self.overall.as_dict(),
            "per_mess": {kind: score.as_dict() for kind, score in self.per_mess.items()},
            "missing": self.missing,
            "unknown": self.unknown,
        }


def evaluate(
    connection: duckdb.DuckDBPyConnection, table: str, truth: Path, observations: str | None = None
) -> Evaluation:
    """Compare `table` (record_id text, person_id text; '<source>.<table>:<key>') with a world's truth folder.

    `table` may be qualified (`identity.record_person`). With `observations` (a table with record_id, identifier_key) the
    pairs that exact links can reach are counted, too. Raises ConfigurationError when it or the truth is not there,
    and when a record is named twice with different persons. Uses and drops temporary tables called `evaluated_…`.
    """
    for name in ("record_person", "persons"):
        if not (truth / f"{name}.parquet").exists():
            raise ConfigurationError(
                "the truth is not there", where=str(truth / f"{name}.parquet"), fix="run `cdp world generate`"
            )
    predicted = exp.to_table(table, dialect="duckdb").sql(dialect="duckdb", identify=True)
    try:
        connection.execute(f"select record_id, person_id from {predicted} limit 0")
    except (duckdb.CatalogException, duckdb.BinderException):
        raise ConfigurationError(
            "cannot be evaluated", where=table, expected="a table with the columns record_id and person_id"
        ) from None
    try:
        _prepare(connection, predicted, truth)
        reachable: dict[str | None, int] = {}
        if observations:
            reachable = _reach(
                connection, exp.to_table(observations, dialect="duckdb").sql("duckdb", identify=True), truth
            )
        return _measure(connection, reachable)
    finally:
        for name in ("evaluated_pair", "evaluated_cell", "evaluated_mess", "evaluated_link", "evaluated_label"):
            connection.execute(f"drop table if exists {name}")


def _prepare(connection: duckdb.DuckDBPyConnection, predicted: str, truth: Path) -> None:
    """`evaluated_cell`: one row per (true person, predicted person) with the number of records they share."""
    connection.execute(
        f"create or replace temp table evaluated_pair as select record_id, min(person_id) as person_id,"
        f" count(distinct person_id) as persons from {predicted} group by record_id"
    )
    doubtful = connection.execute("select count(*) from evaluated_pair where persons > 1").fetchone()
    if doubtful and doubtful[0]:
        raise ConfigurationError(
            f"{doubtful[0]} records have more than one person", where=predicted, expected="one person per record"
        )
    connection.execute(
        """
        create or replace temp table evaluated_cell as
        with truth as (
            select r.source || '.' || r.table_name || ':' || r.record_key as record_id, r.person_no, p.kind
            from read_parquet($records) as r join read_parquet($persons) as p using (person_no)
        )
        select t.person_no, t.kind, e.person_id, t.record_id is null as is_unknown, count(*) as records
        from truth as t full join evaluated_pair as e using (record_id)
        group by all
        """,
        {"records": str(truth / "record_person.parquet"), "persons": str(truth / "persons.parquet")},
    )
    connection.execute(
        "create or replace temp table evaluated_mess as"
        " select person_no, unnest(mess_kinds) as mess_kind from read_parquet($persons) where kind <> 'bot'",
        {"persons": str(truth / "persons.parquet")},
    )


_OVERALL = """
with cell as (
    select * from evaluated_cell where not is_unknown and kind <> 'bot'
), person as (
    select person_no, sum(records) as records from cell group by 1
), cluster as (
    select person_id, sum(records) as records from cell where person_id is not null group by 1
)
select
    (select coalesce(sum(records), 0) from person),
    (select coalesce(sum(records * (records - 1) // 2), 0) from person),
    (select coalesce(sum(records * (records - 1) // 2), 0) from cluster),
    (select coalesce(sum(records * (records - 1) // 2), 0) from cell where person_id is not null)
"""

# A predicted pair counts for a kind of mess when at least one of its records belongs to a person it happened to.
_PER_MESS = """
with cell as (
    select * from evaluated_cell where not is_unknown and kind <> 'bot'
), person as (
    select person_no, sum(records) as records from cell group by 1
), cluster as (
    select person_id, sum(records) as records from cell where person_id is not null group by 1
), messy_cluster as (
    select m.mess_kind, c.person_id, sum(c.records) as messy, sum(c.records * (c.records - 1) // 2) as correct
    from cell as c join evaluated_mess as m using (person_no)
    where c.person_id is not null
    group by all
), of_clusters as (
    select m.mess_kind, sum(m.correct) as correct,
        sum(m.messy * (m.messy - 1) // 2 + m.messy * (c.records - m.messy)) as predicted
    from messy_cluster as m join cluster as c using (person_id)
    group by 1
), of_persons as (
    select m.mess_kind, sum(p.records) as records, sum(p.records * (p.records - 1) // 2) as true_pairs
    from person as p join evaluated_mess as m using (person_no)
    group by 1
)
select mess_kind, records, true_pairs, coalesce(predicted, 0), coalesce(correct, 0)
from of_persons left join of_clusters using (mess_kind)
order by mess_kind
"""


def _reach(connection: duckdb.DuckDBPyConnection, observations: str, truth: Path) -> dict[str | None, int]:
    """Pairs of records of one person that are connected through identifiers on that person's records: overall (None) and by
    kind of mess. The least label goes round within each person until none changes."""
    connection.execute(
        f"""
        create or replace temp table evaluated_link as
        select distinct r.person_no, r.source || '.' || r.table_name || ':' || r.record_key as record_id, o.identifier_key
        from read_parquet($records) as r
        join read_parquet($persons) as p using (person_no)
        left join {observations} as o
            on o.record_id = r.source || '.' || r.table_name || ':' || r.record_key and o.identifier_key is not null
        where p.kind <> 'bot'
        """,
        {"records": str(truth / "record_person.parquet"), "persons": str(truth / "persons.parquet")},
    )
    connection.execute(
        "create or replace temp table evaluated_label as"
        " select person_no, record_id, row_number() over (order by person_no, record_id) as label"
        " from (select distinct person_no, record_id from evaluated_link)"
    )
    total = None
    while True:
        found = connection.execute("select sum(label) from evaluated_label").fetchall()[0][0]
        if found == total:
            break
        total = found
        connection.execute(
            """
            create or replace temp table evaluated_label as
            with linked as (select * from evaluated_link join evaluated_label using (person_no, record_id)),
            least_of_key as (
                select person_no, identifier_key, min(label) as label from linked where identifier_key is not null group by all
            )
            select l.person_no, l.record_id, min(coalesce(k.label, l.label)) as label
            from linked as l left join least_of_key as k using (person_no, identifier_key)
            group by all
            """
        )
    rows = connection.execute(
        """
        with grouped as (select person_no, label, count(*) as records from evaluated_label group by all),
        pairs as (select person_no, sum(records * (records - 1) // 2) as pairs from grouped group by all)
        select null, sum(pairs) from pairs
        union all
        select mess_kind, sum(pairs) from pairs join evaluated_mess using (person_no) group by mess_kind
        """
    ).fetchall()
    return {kind: int(pairs or 0) for kind, pairs in rows}


def _measure(connection: duckdb.DuckDBPyConnection, reachable: dict[str | None, int]) -> Evaluation:
    overall = connection.execute(_OVERALL).fetchone() or (0, 0, 0, 0)
    per_mess = connection.execute(_PER_MESS).fetchall()
    missing, unknown = connection.execute(
        "select coalesce(sum(records) filter (where not is_unknown and person_id is null and kind <> 'bot'), 0),"
        " coalesce(sum(records) filter (where is_unknown), 0) from evaluated_cell"
    ).fetchone() or (0, 0)
    return Evaluation(
        overall=_score(overall, reachable.get(None)),
        per_mess={kind: _score(counts, reachable.get(kind)) for kind, *counts in per_mess},
        missing=int(missing),
        unknown=int(unknown),
    )


def _score(counts: Sequence[Any], reachable: int | None) -> Score:
    records, true, predicted, correct = (int(n) for n in counts)
    return Score(records, true, predicted, correct, reachable)
