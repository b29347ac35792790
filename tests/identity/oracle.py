"""The definition of a person as docs/identity.md gives it, over plain Python objects; it shares no code with the engine."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from hashlib import md5

Name = tuple[str, str]  # identifier type and value


@dataclass(frozen=True)
class Seen:
    """One identifier on one record."""

    record: str
    sequence: int
    type: str
    value: str
    tier: int | None = None
    seen_on: date | None = None

    @property
    def name(self) -> Name:
        return self.type, self.value


@dataclass(frozen=True)
class Type:
    """A row of identifier_types."""

    priority: int
    tier: int = 1
    most: int | None = None
    period: str | None = None
    shared_above: int | None = None


@dataclass(frozen=True)
class Override:
    """A row of identity_overrides."""

    action: str
    left: Name
    right: Name
    decided_on: date


@dataclass(frozen=True)
class Match:
    """A pair that a matching model accepted."""

    left: Name
    right: Name
    weight: float


MATCH_TIER = 99


@dataclass(frozen=True)
class Answer:
    """`persons`: identifier -> person_id; `records`: record -> person_id; `refused`: pairs of identifiers, by key."""

    persons: dict[Name, str]
    records: dict[str, str]
    refused: set[tuple[Name, Name]]


def key(name: Name) -> int:
    """63 bits of MD5 of `type:value`."""
    return int.from_bytes(md5(f"{name[0]}:{name[1]}".encode(), usedforsecurity=False).digest()[8:], "little") >> 1


def period(type_: Type, first: date | None) -> object:
    """What a limited value counts in."""
    if type_.period is None or first is None:
        return type_.period and "unknown"
    return {"day": first, "week": first.isocalendar()[:2], "month": (first.year, first.month), "year": first.year}[type_.period]  # fmt: skip


def answer(
    rows: Iterable[Seen],
    types: dict[str, Type],
    overrides: Iterable[Override],
    blocked: set[Name],
    matches: Iterable[Match] = (),
) -> Answer:
    """Who is who. `rows` in any order."""
    records: dict[str, dict[Name, Seen]] = defaultdict(dict)
    first: dict[Name, int] = {}
    days: dict[Name, date] = {}
    for row in rows:
        records[row.record][row.name] = row
        first[row.name] = min(first.get(row.name, row.sequence), row.sequence)
        if row.seen_on:
            days[row.name] = min(days.get(row.name, row.seen_on), row.seen_on)
    beside: dict[Name, dict[str, set[Name]]] = defaultdict(lambda: defaultdict(set))
    for found in records.values():
        for name in found:
            for other in found.keys() - {name}:
                if types[other[0]].most == 1 and types[other[0]].period is None:
                    beside[name][other[0]].add(other)
    shared = {
        n
        for n in first
        if (above := types[n[0]].shared_above) is not None and max(map(len, beside[n].values()), default=0) > above
    }
    edges: dict[tuple[Name, Name], tuple[int, int]] = {}

    def strength(name: Name) -> tuple[bool, int, int]:
        return name in shared, types[name[0]].priority, key(name)

    def pair(one: Name, other: Name) -> tuple[Name, Name]:
        return (one, other) if key(one) < key(other) else (other, one)

    for found in records.values():
        stitching = sorted((n for n in found if n not in blocked and n not in shared), key=strength)
        for other in stitching[1:]:
            hub, rim = found[stitching[0]], found[other]
            evidence = (
                max(s.tier if s.tier is not None else types[s.type].tier for s in (hub, rim)),
                max(hub.sequence, rim.sequence),
            )
            tied = pair(hub.name, rim.name)
            edges[tied] = min(edges.get(tied, evidence), evidence)
    known = {n for n in first if n not in blocked}
    for o in overrides:
        if o.action == "merge" and o.left in known and o.right in known:
            edges[tied] = min(edges.get(tied := pair(o.left, o.right), (0, 10**9)), (0, (o.decided_on - date(1970, 1, 1)).days))  # fmt: skip
    for m in matches:
        if all(n in known and n not in shared for n in (m.left, m.right)):
            evidence = (MATCH_TIER, 100_000 - int(m.weight // 1))
            tied = pair(m.left, m.right)
            edges[tied] = min(edges.get(tied, evidence), evidence)
    enemies = {frozenset((o.left, o.right)) for o in overrides if o.action == "never"}

    # the definition itself: edges in order, each done unless it breaks a rule
    groups: dict[Name, set[Name]] = {n: {n} for n in known}
    refused: set[tuple[Name, Name]] = set()

    def held(group: set[Name]) -> Counter[tuple[str, object]]:
        return Counter((n[0], period(types[n[0]], days.get(n))) for n in group if types[n[0]].most is not None)

    for (left, right), (tier, _) in sorted(edges.items(), key=lambda e: (*e[1], key(e[0][0]), key(e[0][1]))):
        one, other = groups[left], groups[right]
        if one is other:
            continue
        counts, more = held(one), held(other)
        full = tier > 0 and any(c in counts and counts[c] + n > (types[c[0]].most or 0) for c, n in more.items())
        if full or any(frozenset((a, b)) in enemies for a in one for b in other):
            refused.add((left, right))
            continue
        one |= other
        for name in other:
            groups[name] = one

    def person(group: set[Name]) -> str:
        founder = min(group, key=lambda n: (first[n], types[n[0]].priority, key(n)))
        return "p_" + md5(f"{founder[0]}:{founder[1]}".encode(), usedforsecurity=False).hexdigest()

    persons = {n: person(groups[n]) for n in known}
    strongest = {r: min((n for n in found if n in known), key=strength, default=None) for r, found in records.items()}
    return Answer(persons, {r: persons[n] for r, n in strongest.items() if n}, refused)
