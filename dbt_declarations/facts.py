"""One pass over a table of facts: every aggregate of every declaration at once, with FILTER.

Conditions and values are computed once per fact in the first step and used by all aggregates. Facts after as_of never
count; when every aggregate has a window, older facts are not even read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dbt_declarations.contracts import Type
from dbt_declarations.project import FACTS
from dbt_declarations.scope import AS_OF
from dbt_declarations.sql import EXACT, name, ref, render
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


def pass_over(over: str, measures: Sequence[Measure], points: Sequence[DecayedPoints] = ()) -> str:
    """The select with one row per person that has a fact that counts; columns `<name>` and `<name>__at`, or
    `<name>__points`, `<name>__count`, `<name>__last`."""
    facts = FACTS[over]
    selections = {m.name: m.selection for m in measures} | {p.name: p.selection for p in points}
    columns = ["facts.person_id", f"{name(facts.at)} as fact_at", *(name(k) for k in facts.key)]
    columns += [f"{selections[n].condition(facts.at)} as {name(f'if__{n}')}" for n in sorted(selections)]
    columns += [f"{_value(m.aggregate, m.of)} as {name(f'of__{m.name}')}" for m in measures if m.of is not None]
    windows = [s.hours for s in selections.values()]
    oldest = max((w for w in windows if w), default=0) if all(windows) else 0
    reach = f"\nand facts.{name(facts.at)} > {AS_OF} - interval {oldest} hour" if oldest else ""
    known = f"where facts.person_id is not null and facts.{name(facts.at)} <= {AS_OF}{reach}"
    numbers = sorted({s.window_sessions for s in selections.values() if s.window_sessions})
    matched = f"select {', '.join(columns)}\nfrom {ref(facts.model)} as facts{_since_sessions(numbers)}\n{known}"
    any_of = " or ".join(name(f"if__{n}") for n in sorted(selections))
    aggregates = [a for m in measures if m.aggregate != "most_frequent" for a in _aggregates(m, facts.key)]
    aggregates += [a for p in points for a in _points(p)]
    frequent = [m for m in measures if m.aggregate == "most_frequent"]
    aggregates += [f"max(fact_at) filter (where {name(f'if__{m.name}')}) as {name(f'{m.name}__at')}" for m in frequent]
    ctes = [f"matched as ({matched})"]
    ctes += [
        "aggregated as (select person_id, "
        + ",\n".join(aggregates)
        + f"\nfrom matched where {any_of} group by person_id)"
    ]
    ctes += [f"{name(f'ranked_{m.name}')} as ({_ranked(m)})" for m in frequent]
    picked = "".join(f", {name(f'ranked_{m.name}')}.value as {name(m.name)}" for m in frequent)
    joined = "".join(
        f"\nleft join {name(f'ranked_{m.name}')} on {name(f'ranked_{m.name}')}.person_id = aggregated.person_id"
        f" and {name(f'ranked_{m.name}')}.position = 1"
        for m in frequent
    )
    ctes.append(f"final as (select aggregated.*{picked} from aggregated{joined})")
    return "with " + ",\n".join(ctes) + "\nselect * from final"


def _since_sessions(numbers: Sequence[int]) -> str:
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
        "collect": f"list_sort(list(distinct cast({value} as varchar)) {known})",
    }[measure.aggregate]
    counted = chosen if measure.of is None else known
    return [f"{sql} as {name(measure.name)}", f"max(fact_at) {counted} as {name(f'{measure.name}__at')}"]


def _ranked(measure: Measure) -> str:
    """Values of a person by how often they occur; ties go to the value seen last, then to the least value."""
    value = name(f"of__{measure.name}")
    return (
        f"select person_id, {value} as value, row_number() over (partition by person_id"
        f" order by count(*) desc, max(fact_at) desc, {value} asc) as position"
        f" from matched where {name(f'if__{measure.name}')} and {value} is not null group by person_id, {value}"
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
