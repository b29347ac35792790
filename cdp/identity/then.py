"""The evidence of then: identity's definition, run anew around a few identifiers on what a past run had read.

Persons of then are in the log (`identity_history`). Their evidence is not kept; it is found again, since a row keeps its
sequence for ever: what had been read is what lies at or below the highest sequence of the run (`identity_run`). Rules are today's,
and rows that were deleted or corrected since are not there any more: where log and evidence differ, `why` says so.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any, NamedTuple

import duckdb

from cdp.identity.replay import replay

CLASSES_OF_A_TYPE = 1_000_000


class Edge(NamedTuple):
    """Evidence between two identifiers (`left` < `right`). `rule`: what refused it."""

    left: int
    right: int
    tier: int
    sequence: int
    rule: str | None


@dataclass(frozen=True)
class Run:
    """A past run: its number in the history, its now, and the highest sequence it had read (None: not logged)."""

    run_no: int
    as_of: str
    sequence: int | None


class _Seen(NamedTuple):
    record: int
    key: int
    sequence: int
    tier: int | None


def run_of(con: duckdb.DuckDBPyConnection, as_of: str) -> Run | None:
    """The last run up to a moment (UTC)."""
    rows = con.execute(
        """
        select runs.run_no, runs.as_of::varchar, max(runs.sequence) from (
            select run_no, as_of, null as sequence from identity.identity_history
            union all select run_no, as_of, sequence from identity.identity_run
        ) as runs where runs.as_of <= ?::timestamp group by runs.run_no, runs.as_of
        order by runs.run_no desc, runs.as_of desc limit 1
        """,
        [as_of],
    ).fetchall()
    return Run(*rows[0]) if rows else None


def edges_then(con: duckdb.DuckDBPyConnection, starts: list[int], run: Run) -> list[Edge]:
    """All evidence of the components that hold `starts`, as of a run whose sequence was logged; refused edges with their rule."""
    until = int(run.sequence or 0)
    links = con.execute(
        "select action, left_key, right_key, sequence from identity.int_identity__override_keyed"
        " where action = 'match' or decided_on <= ?::timestamp::date order by all",
        [run.as_of],
    ).fetchall()
    reached = _Reached(con, until, [link for link in links if link[0] != "never"])
    reached.spread(starts)
    least: dict[tuple[int, int], tuple[int, int]] = {}
    for left, right, tier, sequence in reached.evidence():
        pair = (min(left, right), max(left, right))
        least[pair] = min(least.get(pair, (tier, sequence)), (tier, sequence))
    ordered = sorted((evidence, pair) for pair, evidence in least.items())
    never = [(left, right) for action, left, right, _ in links if action == "never" and {left, right} <= reached.rows.keys()]  # fmt: skip
    _, refused = replay([(*pair, tier) for (tier, _), pair in ordered], reached.limits(), never)
    rules = {(left, right): reached.rule(limit_class) for left, right, limit_class in refused}
    return [Edge(*pair, tier, sequence, rules.get(pair)) for (tier, sequence), pair in ordered]


class _Reached:
    """Identifiers that hang together, spread from record to record."""

    def __init__(self, con: duckdb.DuckDBPyConnection, until: int, links: list[tuple[Any, ...]]) -> None:
        self.con, self.until, self.links = con, until, links
        self.rows: dict[int, dict[str, Any]] = {}  # identifiers that were there, by key
        self.records: dict[int, set[_Seen]] = defaultdict(set)

    def spread(self, starts: list[int]) -> None:
        """From `starts` over records and links, as far as identifiers stitch."""
        wanted = set(starts)
        while wanted:
            self._judge(wanted - self.rows.keys())
            there = [key for key in wanted if key in self.rows]
            found = [_Seen(*row) for row in self._observations([k for k in there if self.rows[k]["stitches"]])]
            for seen in found:
                self.records[seen.record].add(seen)
            unblocked = {k for k in there if not self.rows[k]["blocked"]}
            linked = {key for _, *ends, _ in self.links if unblocked & set(ends) for key in ends}
            wanted = ({seen.key for seen in found} | linked) - self.rows.keys() - wanted

    def _observations(self, keys: list[int]) -> list[tuple[Any, ...]]:
        return self.con.execute(
            """
            select o.record_key, o.identifier_key, o.sequence, o.tier from conformed.identifier_observation as o
            where o.identifier_key is not null and o.sequence <= $until and o.record_key in (
                select n.record_key from conformed.identifier_observation as n
                where n.identifier_key in (select unnest($keys::bigint[])) and n.sequence <= $until
            ) order by all
            """,
            {"keys": keys, "until": self.until},
        ).fetchall()

    def _judge(self, keys: set[int]) -> None:
        """What the run could know of identifiers; those that it had not read are left out."""
        result = self.con.execute(
            """
            with observations as (
                select * from conformed.identifier_observation where identifier_key is not null and sequence <= $until
            ),
            wanted as (
                select identifier_key, any_value(identifier_type) as identifier_type, min(observed_at) as first_seen_at from observations
                where identifier_key in (select unnest($keys::bigint[])) group by 1
            ),
            beside as (
                select w.identifier_key, count(distinct u.identifier_key) as owners
                from wanted as w
                inner join observations as o on w.identifier_key = o.identifier_key
                inner join observations as u on o.record_key = u.record_key and u.identifier_key <> w.identifier_key
                inner join identity.int_identity__type_numbered as t on u.identifier_type = t.name and t.decides_sharing
                group by w.identifier_key, u.identifier_type
            ),
            most as (
                select identifier_key, max(owners) as owners from beside group by 1
            )
            select w.identifier_key as key, t.name, t.type_no, t.strength, t.tier, t.max_per_person, t.max_period, w.first_seen_at,
                i.blocked_reason is not null as blocked,
                i.blocked_reason is null and not coalesce(m.owners > t.shared_above, false) as stitches
            from wanted as w
            inner join identity.int_identity__type_numbered as t on w.identifier_type = t.name
            inner join identity.identifier as i on w.identifier_key = i.identifier_key
            left join most as m on w.identifier_key = m.identifier_key
            order by key
            """,
            {"keys": sorted(keys), "until": self.until},
        )
        names = [column[0] for column in result.description or []]
        self.rows |= {row[0]: dict(zip(names, row, strict=True)) for row in result.fetchall()}

    def evidence(self) -> list[tuple[int, int, int, int]]:
        """(one key, other key, tier, sequence): a star on each record from its strongest identifier, and the links."""
        found = []
        for seen in self.records.values():
            stitching = [s for s in seen if s.key in self.rows and self.rows[s.key]["stitches"]]
            strongest = min(((self.rows[s.key]["strength"], s.key) for s in stitching), default=(0, 0))[1]
            for one in (s for s in stitching if s.key == strongest):
                for other in (s for s in stitching if s.key != strongest):
                    tier = max(self._tier(one), self._tier(other))
                    found.append((strongest, other.key, tier, max(one.sequence, other.sequence)))
        for action, left, right, sequence in self.links:
            ends = [self.rows.get(left), self.rows.get(right)]
            if all(e and (e["stitches"] if action == "match" else not e["blocked"]) for e in ends):
                found.append((left, right, 99 if action == "match" else 0, sequence))
        return found

    def _tier(self, seen: _Seen) -> int:
        return int(self.rows[seen.key]["tier"] if seen.tier is None else seen.tier)

    def limits(self) -> list[tuple[int, int, int]]:
        """What counts against a maximum: (key, class, most); a class is a type, or a type in one calendar period."""
        periods: dict[Any, int] = {}
        found = []
        for key, row in self.rows.items():
            if row["max_per_person"] is not None:
                period = periods.setdefault(_period(row["max_period"], row["first_seen_at"]), len(periods))
                found.append((key, row["type_no"] * CLASSES_OF_A_TYPE + period, row["max_per_person"]))
        return found

    def rule(self, limit_class: int | None) -> str:
        """The name of what refused an edge."""
        if limit_class is None:
            return "never_merge"
        return "limit:" + next(r["name"] for r in self.rows.values() if r["type_no"] == limit_class // CLASSES_OF_A_TYPE)  # fmt: skip


def _period(kind: str | None, at: Any) -> Any:
    if kind is None or at is None:
        return kind
    return {
        "day": at.date(), "week": tuple(at.isocalendar())[:2], "month": (at.year, at.month), "year": at.year,
    }[kind]  # fmt: skip
