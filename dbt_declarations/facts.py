"""Aggregates over a table of facts: those that ask for the same kinds of facts at once, with FILTER.

One pass for all aggregates reads every fact for each of them: 100 windowed aggregates over 20 kinds of events took 3 times as
long as one pass for each kind over its own events (benchmarks/declarations.py).

Conditions and values are computed once per fact in the first step and used by all aggregates. Facts after as_of never
count; when every aggregate has a window, older facts are not even read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlglot import exp

from dbt_declarations.contracts import Type
from dbt_declarations.project import FACTS, Facts
from dbt_declarations.scope import AS_OF
from dbt_declarations.sql import EXACT, name, ref, render, text
from dbt_declarations.value_types import Typed


@dataclass(frozen=True)
class Selection:
    """Which facts count: a condition, and a window before as_of in days, hours or sessions (facts at the far edge of days
    and hours do not count)."""

    where: Typed | None
    window_days: int | None = None
    window_hours: int | None = None
    window_sessions: int | None = None

    @property
    def hours(self) -> int | None:
        """How far back facts can count; None: without end."""
        return self.window_days * 24 if self.window_days else self.window_hours

    def condition(self, at: str) -> str:
        """The SQL condition over one fact; never null."""
        parts = [f"{name(at)} > {AS_OF} - interval {self.hours} hour"] if self.hours else []
        if self.window_sessions:
            parts.append(
                f"{name(at)} >= coalesce({name(f'since_session_{self.window_sessions}')}, timestamp '0001-01-01')"
            )
        if self.where is not None:
            parts.append(f"coalesce({render(self.where)}, false)")
        return " and ".join(parts) or "true"


@dataclass(frozen=True)
class Measure:
    """One aggregate. `name` is its column; `of` is what is aggregated, None when whole facts are counted."""

    name: str
    aggregate: str
    of: Typed | None
    selection: Selection


@dataclass(frozen=True)
class DecayedPoints:
    """Points for each fact, halved for each half-life of its age; three columns: points, count, last."""

    name: str
    points: float
    half_life_days: float | None
    selection: Selection


def measure_type(aggregate: str, of: Type | None) -> Type:
    """The type of an aggregate's value."""
    if aggregate in ("count", "count_distinct", "days_since"):
        return "integer"
    if aggregate in ("sum", "avg"):
        return "number"
    if aggregate == "collect":
        return "list"
    return of or "null"


def pass_over(
    over: str,
    measures: Sequence[Measure],
    points: Sequence[DecayedPoints] = (),
    *,
    source: str = "",
    audience: str = "",
) -> str:
    """The select with one row per person that has a fact that counts; columns `<name>` and `<name>__at`, or
    `<name>__points`, `<name>__count`, `<name>__last`.

    Declarations that ask for the same kinds of facts (`event_name = 'x'`, `event_name in (...)`) are computed together
    from those facts alone; with several such groups there is a row for each person of the audience. `source`: a table to read instead of
    all facts. `audience`: a table of persons that each have a row, which begins with all columns of that table.
    """
    facts = FACTS[over]
    source = source or ref(facts.model)
    groups: dict[tuple[str, ...], tuple[list[Measure], list[DecayedPoints]]] = {}
    for measure in measures:
        groups.setdefault(kinds_asked_for(measure.selection.where, facts), ([], []))[0].append(measure)
    for point in points:
        groups.setdefault(kinds_asked_for(point.selection.where, facts), ([], []))[1].append(point)
    if len(groups) == 1 and not audience:
        ((kinds, (ours, our_points)),) = groups.items()
        return "with " + ",\n".join(_group(facts, source, kinds, ours, our_points, "")) + "\nselect * from final"
    ctes: list[str] = []
    joins: list[str] = []
    columns = ["audience.*" if audience else "audience.person_id"]
    for number, (kinds, (ours, our_points)) in enumerate(sorted(groups.items()), start=1):
        ctes += _group(facts, source, kinds, ours, our_points, f"_{number}")
        joins.append(f"left join final_{number} on final_{number}.person_id = audience.person_id")
        columns.append(f"final_{number}.* exclude (person_id)")
    joined = f"select {', '.join(columns)} from {audience or ref('audience')} as audience " + "\n".join(joins)
    return "with " + ",\n".join([*ctes, f"final as ({joined})"]) + "\nselect * from final"


def kinds_asked_for(where: Typed | None, facts: Facts) -> tuple[str, ...]:
    """The only values of the facts' kind that a condition can be true for, in order; empty when it does not say."""
    if where is None or facts.kind is None:
        return ()
    whole = where.sql.unnest()
    for part in whole.flatten() if isinstance(whole, exp.And) else (whole,):
        condition = part.unnest()
        if isinstance(condition, exp.EQ):
            sides = {type(side): side for side in (condition.this, condition.expression)}
            named, values = sides.get(exp.Column), [sides.get(exp.Literal)]
        elif isinstance(condition, exp.In):
            named, values = condition.this, condition.expressions
        else:
            continue
        if isinstance(named, exp.Column) and named.name == facts.kind and all(v and v.is_string for v in values):
            return tuple(sorted({v.name for v in values if v}))
    return ()


def _group(
    facts: Facts,
    table: str,
    kinds: tuple[str, ...],
    measures: Sequence[Measure],
    points: Sequence[DecayedPoints],
    suffix: str,
) -> list[str]:
    """The steps for declarations that ask for the same kinds of facts; the last is `final<suffix>`."""
    selections = {m.name: m.selection for m in measures} | {p.name: p.selection for p in points}
    columns = ["facts.person_id", f"{name(facts.at)} as fact_at", *(name(k) for k in facts.key)]
    columns += [f"{selections[n].condition(facts.at)} as {name(f'if__{n}')}" for n in sorted(selections)]
    columns += [f"{_value(m.aggregate, m.of)} as {name(f'of__{m.name}')}" for m in measures if m.of is not None]
    windows = [s.hours for s in selections.values()]
    oldest = max((w for w in windows if w), default=0) if all(windows) else 0
    known = [f"facts.person_id is not null and facts.{name(facts.at)} <= {AS_OF}"]
    known += [f"facts.{name(facts.at)} > {AS_OF} - interval {oldest} hour"] if oldest else []
    known += [f"facts.{name(facts.kind)} in ({', '.join(text(k) for k in kinds)})"] if kinds and facts.kind else []
    numbers = sorted({s.window_sessions for s in selections.values() if s.window_sessions})
    source = f"{table} as facts{since_sessions(numbers)}"
    matched = f"select {', '.join(columns)}\nfrom {source}\nwhere {' and '.join(known)}"
    any_of = " or ".join(name(f"if__{n}") for n in sorted(selections))
    aggregates = [a for m in measures if m.aggregate != "most_frequent" for a in _aggregates(m, facts.key)]
    aggregates += [a for p in points for a in _points(p)]
    frequent = [m for m in measures if m.aggregate == "most_frequent"]
    aggregates += [f"max(fact_at) filter (where {name(f'if__{m.name}')}) as {name(f'{m.name}__at')}" for m in frequent]
    ctes = [
        f"matched{suffix} as ({matched})",
        f"aggregated{suffix} as (select person_id, "
        + ",\n".join(aggregates)
        + f"\nfrom matched{suffix} where {any_of} group by person_id)",
    ]
    ctes += [f"{name(f'ranked_{m.name}')} as ({_ranked(m, suffix)})" for m in frequent]
    picked = "".join(f", {name(f'ranked_{m.name}')}.value as {name(m.name)}" for m in frequent)
    joined = "".join(
        f"\nleft join {name(f'ranked_{m.name}')} on {name(f'ranked_{m.name}')}.person_id = aggregated{suffix}.person_id"
        f" and {name(f'ranked_{m.name}')}.position = 1"
        for m in frequent
    )
    return [*ctes, f"final{suffix} as (select aggregated{suffix}.*{picked} from aggregated{suffix}{joined})"]


def since_sessions(numbers: Sequence[int]) -> str:
    """A join that brings, for each number n, when the person's nth last session began."""
    if not numbers:
        return ""
    begun = ", ".join(
        f"min(started_at) filter (where sessions_ago < {n}) as {name(f'since_session_{n}')}" for n in numbers
    )
    grouped = f"select person_id, {begun} from {ref('person_session')} group by person_id"
    return f"\nleft join ({grouped}) as sessions on sessions.person_id = facts.person_id"


def _value(aggregate: str, of: Typed) -> str:
    """What is aggregated, of one fact; a timestamp counts as its day, a number that is none (NaN) as nothing."""
    value = render(of)
    if aggregate in ("sum", "avg"):
        return f"try_cast({value} as {EXACT})"
    if of.type == "timestamp":
        return f"cast({value} as date)"
    if of.type == "number":
        return f"case when isfinite({value}) then {value} end"
    return f"nullif({value}, '')" if of.type == "text" else value


def _aggregates(measure: Measure, key: tuple[str, ...]) -> list[str]:
    chosen = f"filter (where {name(f'if__{measure.name}')})"
    value = name(f"of__{measure.name}")
    order = "row(fact_at, " + ", ".join(name(k) for k in key) + ")"
    known = f"filter (where {name(f'if__{measure.name}')} and {value} is not null)"
    sql = {
        "count": f"count(*) {chosen}",
        "count_distinct": f"count(distinct {value}) {chosen}",
        "sum": f"cast(sum({value}) {chosen} as double)",
        "avg": f"cast(sum({value}) {chosen} as double) / nullif(count({value}) {chosen}, 0)",
        "min": f"min({value}) {chosen}",
        "max": f"max({value}) {chosen}",
        "first": f"arg_min({value}, {order}) {known}",
        "last": f"arg_max({value}, {order}) {known}",
        "days_since": f"date_sub('day', max(fact_at) {chosen}, {AS_OF})",
        "moment": f"max(fact_at) {chosen}",
        "collect": f"list_sort(list(distinct cast({value} as varchar)) {known})",
    }[measure.aggregate]
    counted = chosen if measure.of is None else known
    return [f"{sql} as {name(measure.name)}", f"max(fact_at) {counted} as {name(f'{measure.name}__at')}"]


def _ranked(measure: Measure, suffix: str) -> str:
    """Values of a person by how often they occur; ties go to the value seen last, then to the least value."""
    value = name(f"of__{measure.name}")
    return (
        f"select person_id, {value} as value, row_number() over (partition by person_id"
        f" order by count(*) desc, max(fact_at) desc, {value} asc) as position"
        f" from matched{suffix} where {name(f'if__{measure.name}')} and {value} is not null group by person_id, {value}"
    )


def _points(points: DecayedPoints) -> list[str]:
    chosen = f"filter (where {name(f'if__{points.name}')})"
    each = f"cast({points.points!r} as double)"
    if points.half_life_days:
        age = f"date_diff('second', fact_at, {AS_OF})"
        each = f"{each} * pow(cast(0.5 as double), {age} / cast({86400 * points.half_life_days!r} as double))"
    return [
        f"sum(cast({each} as {EXACT})) {chosen} as {name(f'{points.name}__points')}",
        f"count(*) {chosen} as {name(f'{points.name}__count')}",
        f"max(fact_at) {chosen} as {name(f'{points.name}__last')}",
    ]
