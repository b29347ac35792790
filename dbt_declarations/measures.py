"""What declarations ask of facts: which of them count, what is made of them, and when the newest was."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlglot import exp

from dbt_declarations.contracts import Type
from dbt_declarations.project import FACTS, Facts
from dbt_declarations.scope import AS_OF
from dbt_declarations.sql import EXACT, name, render
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

    def condition(self, at: str, facts: Facts) -> str:
        """The SQL condition over one fact of the kinds that are asked for; never null."""
        parts = [f"{name(at)} > {AS_OF} - interval {self.hours} hour"] if self.hours else []
        if self.window_sessions:
            parts.append(
                f"{name(at)} >= coalesce({name(f'since_session_{self.window_sessions}')}, timestamp '0001-01-01')"
            )
        if self.where is not None and not is_a_kind(self.where, facts):
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


def is_a_kind(where: Typed, facts: Facts) -> bool:
    """Whether a condition asks for kinds of facts and for nothing else."""
    return not isinstance(where.sql.unnest(), exp.And) and bool(kinds_asked_for(where, facts))


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


def columns_read(over: str, measures: Sequence[Measure], points: Sequence[DecayedPoints] = ()) -> list[str]:
    """The columns of facts that aggregates are made from, in order; without the kind where it says only which facts count."""
    facts = FACTS[over]
    typed = [m.of for m in measures if m.of] + [
        w
        for w in (*(m.selection.where for m in measures), *(p.selection.where for p in points))
        if w and not is_a_kind(w, facts)
    ]
    own = {facts.at}
    return sorted(own | {column.name for t in typed for column in t.sql.find_all(exp.Column) if column.name != AS_OF})


def session_windows(chosen: Sequence[Selection]) -> list[int]:
    """The windows in sessions, in order."""
    return sorted({s.window_sessions for s in chosen if s.window_sessions})


def value_of(measure: Measure) -> str:
    """What is aggregated, of one fact; a timestamp counts as its day, a number that is none (NaN) as nothing."""
    assert measure.of is not None  # noqa: S101 - callers look first
    value = render(measure.of)
    if measure.aggregate in ("sum", "avg"):
        return f"try_cast({value} as {EXACT})"
    if measure.of.type == "timestamp":
        return f"cast({value} as date)"
    if measure.of.type == "number":
        return f"case when isfinite({value}) then {value} end"
    return f"nullif({value}, '')" if measure.of.type == "text" else value


@dataclass(frozen=True)
class Moment:
    """Where the moment of a measure's newest fact is kept: a column, and how far before as_of it may lie to be this measure's, in
    hours (None: the column is the measure's own)."""

    column: str
    hours: int | None

    def sql(self, alias: str = "") -> str:
        """The moment, or null, of a row of a table with the column."""
        kept = f"{alias}.{name(self.column)}" if alias else name(self.column)
        return (
            kept if self.hours is None else f"case when {kept} > {AS_OF} - interval {self.hours} hour then {kept} end"
        )


def shared_moments(measures: Sequence[Measure]) -> dict[str, Moment]:
    """Where the moment of each measure is. Of measures with the same condition the newest fact of the longest window is kept; that
    of a shorter window is the same fact when it lies in the window, else there is none."""
    alike: dict[tuple[str, int | None], list[Measure]] = {}
    for m in measures:
        where = render(m.selection.where) if m.selection.where else ""
        alike.setdefault((where, m.selection.window_sessions), []).append(m)
    found = {}
    for group in alike.values():
        longest = min(group, key=lambda m: (m.selection.hours is not None, -(m.selection.hours or 0), m.name))
        for m in group:
            own = m.selection.hours == longest.selection.hours
            found[m.name] = Moment(f"{longest.name}__at", None if own else m.selection.hours)
    return found
