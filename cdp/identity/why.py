"""`cdp identity why`: who an identifier is, and by what evidence two of them are one person or two."""

from __future__ import annotations

import heapq
from dataclasses import asdict, dataclass, field
from typing import Any

import duckdb

from cdp.errors import DeclarationError
from cdp.identity.lookup import Found, find
from cdp.identity.then import Edge, Run, edges_then, run_of

SHOWN = 50
EVENT = "run_no, as_of::varchar as as_of, event, person_id, previous_person_id, identifier_count, rule, record_id"


@dataclass(frozen=True)
class Link:
    """One edge of a chain, with the record that showed it first. `refused`: the rule that refused it."""

    left: str
    right: str
    tier: int
    sequence: int
    record_id: str | None
    source: str | None
    observed_at: str | None
    refused: str | None
    override: str | None


@dataclass(frozen=True)
class Who:
    """A person as one identifier sees them. `person_id` is None for a blocked identifier, or one that was not there yet."""

    identifier: str
    person_id: str | None
    remark: str
    identifiers: list[dict[str, Any]] = field(default_factory=list)
    refused: list[dict[str, Any]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class Why:
    """`same`: whether two identifiers are one person. `chain`: the shortest evidence between them; refused edges in it are what
    keeps them apart. Without a chain nothing ties them."""

    persons: list[Who]
    same: bool | None = None
    verdict: str = ""
    chain: list[Link] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return asdict(self)


def explain(con: duckdb.DuckDBPyConnection, names: list[str], as_of: str | None = None) -> Why:
    """Who one identifier is, or how two hang together. A name is `type:value`, or a value that only one type has.

    With `as_of` (UTC) persons are those of the last run up to then, and evidence is what that run had read, judged by today's
    rules. Raises DeclarationError.
    """
    found = [find(con, name, number) for number, name in enumerate(names, 1)]
    if as_of:
        return _explain_then(con, found, as_of)
    persons = [_who(con, one) for one in found]
    if len(found) == 1:
        return Why(persons)
    one, other = found
    same = persons[0].person_id is not None and persons[0].person_id == persons[1].person_id
    chain = [_link(con, edge) for edge in shortest(_edges(con, one.key), one.key, other.key)]
    return Why(persons, same, _verdict(con, one, other, same, chain, None), chain)


def _explain_then(con: duckdb.DuckDBPyConnection, found: list[Found], as_of: str) -> Why:
    run = run_of(con, as_of)
    if run is None:
        return Why([Who(one.label, None, "there was no run yet") for one in found])
    edges = edges_then(con, [one.key for one in found], run) if run.sequence is not None else []
    persons = [_who_then(con, one, run, edges) for one in found]
    if len(found) == 1:
        return Why(persons)
    one, other = found
    same = persons[0].person_id is not None and persons[0].person_id == persons[1].person_id
    chain = [_link(con, edge) for edge in shortest(edges, one.key, other.key)]
    if absent := [who.identifier for who in persons if who.person_id is None]:
        verdict = f"not one person then: {absent[0]} was nobody's"
    else:
        verdict = _verdict(con, one, other, same, chain, run)
    return Why(persons, same, verdict, chain)


def _who_then(con: duckdb.DuckDBPyConnection, found: Found, run: Run, edges: list[Edge]) -> Who:
    rows = con.execute(
        "select person_id, run_no, as_of::varchar from identity.identity_history"
        " where identifier_key = ? and run_no <= ? order by run_no desc limit 1",
        [found.key, run.run_no],
    ).fetchall()
    if not rows or rows[0][0] is None:
        return Who(
            found.label, None, "was not there yet" if not rows else f"had gone in run {rows[0][1]} ({rows[0][2]})"
        )
    person = rows[0][0]
    identifiers = _dicts(
        con,
        f"""
        with last as (
            select identifier_key, arg_max({{ 'id': person_id }}, run_no).id as person_id
            from identity.identity_history where run_no <= ? group by 1
        )
        select i.identifier_type as type, i.identifier_value as value, i.first_sequence
        from last inner join identity.identifier as i on last.identifier_key = i.identifier_key
        where last.person_id = ? order by i.first_sequence, i.identifier_type, i.identifier_value limit {SHOWN}""",
        [run.run_no, person],
    )
    refused = [
        {"left": link.left, "right": link.right, "rule": link.refused, "tier": link.tier}
        for link in (_link(con, edge) for edge in edges if edge.rule)
        if {link.left, link.right} & {f"{i['type']}:{i['value']}" for i in identifiers}
    ]
    events = _dicts(
        con,
        f"select {EVENT} from identity.identity_event where ? in (person_id, previous_person_id) and run_no <= ? order by all limit {SHOWN}",
        [person, run.run_no],
    )
    remark = f"since run {rows[0][1]} ({rows[0][2]})"
    if run.sequence is None:
        remark += "; how far that run had read was not logged, so its evidence is not known"
    return Who(found.label, person, remark, identifiers, refused[:SHOWN], events)


def _who(con: duckdb.DuckDBPyConnection, found: Found) -> Who:
    if found.blocked:
        return Who(found.label, None, f"blocked: {found.blocked}; it is nobody's")
    person = con.execute("select person_id from identity.identity_person where identifier_key = ?", [found.key]).fetchall()[0][0]  # fmt: skip
    remark = f"shared: seen beside {found.fan_out} others, so it ties nobody" if found.shared else ""
    if con.execute("select 1 from identity.identity_quarantine where person_id = ?", [person]).fetchall():
        remark = "; ".join(filter(None, [remark, "in quarantine: its component is giant"]))
    identifiers = _dicts(
        con,
        "select identifier_type as type, identifier_value as value, first_sequence, record_count, is_founding, is_shared"
        f" from identity.person_identifier where person_id = ? order by first_sequence, identifier_type, identifier_value limit {SHOWN}",
        [person],
    )
    refused = _dicts(
        con,
        f"""
        select r.left_type || ':' || r.left_value as left, r.right_type || ':' || r.right_value as right, r.rule, r.tier
        from identity.identity_refusal as r
        where exists (
            select 1 from identity.identity_person as p where p.person_id = ? and p.identifier_key in (r.left_key, r.right_key)
        ) order by all limit {SHOWN}""",
        [person],
    )
    events = _dicts(
        con,
        f"select {EVENT} from identity.identity_event where ? in (person_id, previous_person_id) order by all limit {SHOWN}",
        [person],
    )
    return Who(found.label, person, remark, identifiers, refused, events)


def _edges(con: duckdb.DuckDBPyConnection, start: int) -> list[Edge]:
    """The component's edges as they stand."""
    rows = con.execute(
        """
        with component as (select component_key from identity.identity_component where identifier_key = ?)
        select e.left_key, e.right_key, e.tier, e.sequence, r.rule
        from identity.identity_edge as e
        inner join identity.identity_component as c on e.left_key = c.identifier_key
        inner join component on c.component_key = component.component_key
        left join identity.identity_refusal as r on e.left_key = r.left_key and e.right_key = r.right_key
        order by all
        """,
        [start],
    ).fetchall()
    return [Edge(*row) for row in rows]


def shortest(edges: list[Edge], start: int, end: int) -> list[Edge]:
    """The path with the fewest refused edges, then the fewest edges, then the strongest and oldest evidence; empty: none."""
    near: dict[int, list[tuple[int, int]]] = {}
    for number, (left, right, *_) in enumerate(edges):
        near.setdefault(left, []).append((right, number))
        near.setdefault(right, []).append((left, number))
    queue: list[tuple[Any, int, tuple[int, ...]]] = [((0, 0, 0, 0), start, ())]
    done: set[int] = set()
    while queue:
        cost, key, path = heapq.heappop(queue)
        if key in done:
            continue
        if key == end:
            return [edges[number] for number in path]
        done.add(key)
        for other, number in near.get(key, ()):
            if other not in done:
                edge = edges[number]
                step = (cost[0] + (edge.rule is not None), cost[1] + 1, cost[2] + edge.tier, cost[3] + edge.sequence)
                heapq.heappush(queue, (step, other, (*path, number)))
    return []


def _link(con: duckdb.DuckDBPyConnection, edge: Edge) -> Link:
    left, right, tier, sequence, rule = edge
    names = dict(
        con.execute(
            "select identifier_key, identifier_type || ':' || identifier_value from identity.identifier where identifier_key in (?, ?)",
            [left, right],
        ).fetchall()
    )
    override = record = None
    if tier == 0:
        override = con.execute(
            "select reason || ' (' || author || ', ' || decided_on || ')' from identity.int_identity__override_keyed"
            " where left_key = ? and right_key = ? and action = 'merge' order by decided_on limit 1",
            [left, right],
        ).fetchall()[0][0]
    else:
        record = con.execute(
            """
            select o.record_id, o.source, o.observed_at::varchar
            from conformed.identifier_observation as o
            inner join conformed.identifier_observation as p on o.record_key = p.record_key
            where o.identifier_key = ? and p.identifier_key = ? and greatest(o.sequence, p.sequence) >= ?
            order by greatest(o.sequence, p.sequence), o.record_key limit 1
            """,
            [left, right, sequence],
        ).fetchall()
    record_id, source, at = record[0] if record else (None, None, None)
    return Link(names[left], names[right], tier, sequence, record_id, source, at, rule, override)


def _verdict(
    con: duckdb.DuckDBPyConnection, one: Found, other: Found, same: bool, chain: list[Link], run: Run | None
) -> str:
    """In words. `run`: a past one, whose persons come from the log and whose evidence was found again."""
    then = " then" if run else ""
    gone = "; rows that said otherwise were deleted or corrected since, or the rules have changed" if run else ""  # fmt: skip
    if run and run.sequence is None:
        return f"{'one person' if same else 'two persons'} then; how far that run had read was not logged"
    apart = [link.refused for link in chain if link.refused]
    if same:
        return f"one person{then}" + (gone if apart or not chain else "")
    never = con.execute(
        "select reason || ' (' || author || ', ' || decided_on || ')' from identity.int_identity__override_keyed where action = 'never'"
        " and left_key = least(?::bigint, ?::bigint) and right_key = greatest(?::bigint, ?::bigint)"
        " and decided_on <= coalesce(?::timestamp::date, decided_on) order by decided_on limit 1",
        [one.key, other.key, one.key, other.key, run.as_of if run else None],
    ).fetchall()
    if never:
        return f"two persons{then}, because of an override: {never[0][0]}"
    if apart:
        return f"two persons{then}: evidence was refused by " + ", ".join(dict.fromkeys(apart))
    if chain:
        return f"two persons{then}{gone}"
    for found in () if run else (one, other):
        if found.blocked:
            return f"{found.type} is blocked and ties nobody: {found.blocked}"
        if found.shared:
            return f"{found.type} is shared by {found.fan_out} persons and ties nobody"
    return f"two persons{then}: nothing {'tied' if run else 'ties'} them"


def _dicts(con: duckdb.DuckDBPyConnection, sql: str, values: list[Any]) -> list[dict[str, Any]]:
    result = con.execute(sql, values)
    names = [column[0] for column in result.description or []]
    return [dict(zip(names, row, strict=True)) for row in result.fetchall()]


def check_warehouse(con: duckdb.DuckDBPyConnection) -> None:
    """Raise DeclarationError when no identity was built yet."""
    built = con.execute(
        "select count(*) from duckdb_tables() where schema_name = 'identity' and table_name = 'identity_processed'"
    )
    if not built.fetchall()[0][0]:
        raise DeclarationError("identity was not built yet", where="the warehouse", fix="run `cdp run`")
