"""Aggregates over a table of facts: those that ask for the same kinds of facts at once, with FILTER.

One pass for all aggregates reads every fact for each of them: 100 windowed aggregates over 20 kinds of events took 3 times as
long as one pass for each kind over its own events (benchmarks/declarations.py).

Conditions and values are computed once per fact in the first step and used by all aggregates. Facts after as_of never
count; when every aggregate has a window, older facts are not even read.
"""

from __future__ import annotations

from collections.abc import Sequence

from dbt_declarations.measures import (
    DecayedPoints,
    Measure,
    Moment,
    Selection,
    columns_read,
    kinds_asked_for,
    session_windows,
    shared_moments,
    value_of,
)
from dbt_declarations.project import FACTS, PERSON_NUMBER, Facts
from dbt_declarations.scope import AS_OF
from dbt_declarations.sql import EXACT, name, person_number, ref, text

ORDERED = ("first", "last")
TIE = "fact_tie"


def pass_over(
    over: str,
    measures: Sequence[Measure],
    points: Sequence[DecayedPoints] = (),
    *,
    audience: str = "",
) -> str:
    """The select with one row per person that has a fact that counts; columns `<name>` and `<name>__at`, or
    `<name>__points`, `<name>__count`, `<name>__last`.

    Declarations that ask for the same kinds of facts (`event_name = 'x'`, `event_name in (...)`) are computed together
    from those facts alone; with several such groups there is a row for each person of the audience. `audience`: a table of persons
    that each have a row, which begins with all columns of that table; of the moments there are then only those that
    `shared_moments` names, from which readers tell the others.
    """
    facts = FACTS[over]
    groups: dict[tuple[str, ...], tuple[list[Measure], list[DecayedPoints]]] = {}
    for measure in measures:
        groups.setdefault(kinds_asked_for(measure.selection.where, facts), ([], []))[0].append(measure)
    for point in points:
        groups.setdefault(kinds_asked_for(point.selection.where, facts), ([], []))[1].append(point)
    shared = shared_moments(measures) if audience else None
    if len(groups) == 1 and not audience:
        ((kinds, (ours, our_points)),) = groups.items()
        return "with " + ",\n".join(_group(over, None, kinds, ours, our_points, "")) + "\nselect * from final"
    whose = PERSON_NUMBER if audience else "ordinal"
    ctes = [] if audience else [_NUMBERED]
    ctes.append(_narrowed(over, [*groups], measures, points, audience))
    joins: list[str] = []
    columns = ["persons.*" if audience else "persons.* exclude (ordinal)"]
    until: list[str] = []
    numbers = _kind_numbers([*groups])
    for number, (kinds, (ours, our_points)) in enumerate(sorted(groups.items()), start=1):
        numbered = ", ".join(str(numbers[kind]) for kind in kinds)
        only = f"kind_number in ({numbered})" if numbered else "true"
        ctes += _group(over, only, kinds, ours, our_points, f"_{number}", whose, shared)
        joins.append(f"left join final_{number} on final_{number}.{whose} = persons.{whose}")
        leaves = audience and any(m.selection.hours for m in ours)
        columns.append(f"final_{number}.* exclude ({whose}{f', until_{number}' if leaves else ''})")
        until += [f"final_{number}.until_{number}"] if leaves else []
    # A reader without a condition: if all had one, DuckDB would first test each fact for all of their conditions, which took twice as
    # long as all the rest.
    joins.append("cross join (select count(*) as fact_count from narrowed) as read_whole")
    if audience:
        ctes.append(_to_come(facts, measures))
        joins.append("left join to_come on to_come.person_number = persons.person_number")
        first = f"least({', '.join([*until, 'to_come.known_at'])})" if until else "to_come.known_at"
        columns.append(f"coalesce({first}, timestamp 'infinity') as holds_until")
    joined = f"select {', '.join(columns)} from {audience or 'persons'} as persons " + "\n".join(joins)
    return "with " + ",\n".join([*ctes, f"final as ({joined})"]) + "\nselect * from final"


# A number of each person for the time of a query, whichever it is: keys of four bytes group and join several times faster than a
# person_id, and none leaves the query.
_NUMBERED = (
    "persons as materialized (select audience.person_id, cast(row_number() over () as uinteger) as ordinal"
    f" from {ref('audience')} as audience)"
)


def number_of(facts: Facts) -> str:
    """The SQL of the number of the person of a row of facts."""
    return f"facts.{PERSON_NUMBER}" if facts.digested else person_number("facts.person_id")


def asked_kinds(facts: Facts, measures: Sequence[Measure]) -> str:
    """The condition of facts of the kinds that any measure asks for; empty when one asks for all."""
    asked = [kinds_asked_for(m.selection.where, facts) for m in measures]
    return _kind(facts, sorted({kind for kinds in asked for kind in kinds})) if all(asked) else ""


def _to_come(facts: Facts, measures: Sequence[Measure]) -> str:
    """When the first fact of each person that as_of does not know yet becomes known."""
    kinds = asked_kinds(facts, measures)
    only = f"facts.{name(facts.at)} > {AS_OF}" + (f" and {kinds}" if kinds else "")
    return (
        f"to_come as (select {number_of(facts)} as person_number, min(facts.{name(facts.at)}) as known_at"
        f" from {ref(facts.model)} as facts where {only} group by 1)"
    )


def _narrowed(
    over: str,
    kinds: Sequence[tuple[str, ...]],
    measures: Sequence[Measure],
    points: Sequence[DecayedPoints],
    audience: str,
) -> str:
    """Facts that any declaration can ask for, by their kind and person: read once, then each group reads its own neighbouring rows
    (of 100 aggregates over 20 kinds, a fifth of the time of reading all facts for each kind). With the number of the person, those
    of everybody where no sessions are asked for; without a table of persons by a number for the time of the query."""
    facts = FACTS[over]
    chosen = [*(m.selection for m in measures), *(p.selection for p in points)]
    sessions = session_windows(chosen)
    whose = f"{number_of(facts)} as {PERSON_NUMBER}" if audience else "persons.ordinal"
    columns = [whose, *(f"facts.{name(c)}" for c in columns_read(over, measures, points))]
    columns += [f"sessions.{name(f'since_session_{n}')}" for n in sessions]
    columns += _tie(facts, measures)
    numbers = _kind_numbers(kinds)
    known = _known(facts, chosen, [*numbers] if all(kinds) else ())
    ordered = ""
    if facts.kind and numbers:
        # the place of a kind in the list is looked up; a case of twenty texts took eleven times as long
        listed = f"enum({', '.join(text(kind) for kind in numbers)})"
        small = "utinyint" if len(numbers) < 256 else "usmallint"
        columns.append(f"cast(enum_code(try_cast(facts.{name(facts.kind)} as {listed})) as {small}) as kind_number")
        # half of the number brings a person's facts together: a key of up to eight bytes is sorted in two thirds of the time
        near = f"cast({number_of(facts)} >> 32 as uinteger)" if audience else "persons.ordinal"
        ordered = f" order by kind_number, {near}"
    joined = "" if audience else " inner join persons on persons.person_id = facts.person_id"
    known += " and facts.person_id is not null" if audience else ""
    if audience and sessions:
        joined = f" inner join {audience} as persons on persons.{PERSON_NUMBER} = {number_of(facts)}"
    return (
        f"narrowed as materialized (select {', '.join(columns)} from {ref(facts.model)} as facts{joined}"
        f"{since_sessions(sessions, 'persons')} where {known}{ordered})"
    )


def _kind_numbers(kinds: Sequence[tuple[str, ...]]) -> dict[str, int]:
    """A number of each kind of facts that any group asks for: shorter to sort by and to compare than its name."""
    return {kind: number for number, kind in enumerate(sorted({k for group in kinds for k in group}))}


def _known(facts: Facts, chosen: Sequence[Selection], kinds: Sequence[str]) -> str:
    """The condition of facts of which any selection can ask."""
    windows = [s.hours for s in chosen]
    oldest = max((w for w in windows if w), default=0) if all(windows) else 0
    known = [f"facts.{name(facts.at)} <= {AS_OF}"]
    known += [f"facts.{name(facts.at)} > {AS_OF} - interval {oldest} hour"] if oldest else []
    return " and ".join([*known, _kind(facts, kinds)] if kinds and facts.kind else known)


def _kind(facts: Facts, kinds: Sequence[str]) -> str:
    """The condition of facts of these kinds."""
    return f"facts.{name(facts.kind)} in ({', '.join(text(k) for k in kinds)})" if kinds and facts.kind else ""


def _group(
    over: str,
    only: str | None,
    kinds: tuple[str, ...],
    measures: Sequence[Measure],
    points: Sequence[DecayedPoints],
    suffix: str,
    whose: str = "person_id",
    shared: dict[str, Moment] | None = None,
) -> list[str]:
    """The steps for declarations that ask for the same kinds of facts; the last is `final<suffix>`. They read the facts, or those of
    the step `narrowed` for which `only` holds, where `whose` tells persons apart."""
    facts = FACTS[over]
    selections = {m.name: m.selection for m in measures} | {p.name: p.selection for p in points}
    columns = [f"facts.{whose}", f"{name(facts.at)} as fact_at"]
    tie = _tie(facts, measures)
    columns += [TIE] if tie and only else tie
    columns += [f"{selections[n].condition(facts.at, facts)} as {name(f'if__{n}')}" for n in sorted(selections)]
    columns += [f"{value_of(m)} as {name(f'of__{m.name}')}" for m in measures if m.of is not None]
    chosen = list(selections.values())
    known = _known(facts, chosen, kinds)
    if only:
        source, known = "narrowed as facts", only
    else:
        source = f"{ref(facts.model)} as facts{since_sessions(session_windows(chosen))}"
        known = f"facts.person_id is not null and {known}"
    matched = f"select {', '.join(columns)}\nfrom {source}\nwhere {known}"
    any_of = " or ".join(name(f"if__{n}") for n in sorted(selections))
    aggregates = [a for m in measures for a in _aggregates(m, shared)]
    aggregates += [a for p in points for a in _points(p)]
    if shared is not None and any(m.selection.hours for m in measures):
        aggregates.append(f"min({_first_left(measures)}) as until{suffix}")
    frequent = [m for m in measures if m.aggregate == "most_frequent"]
    ctes = [
        f"matched{suffix} as ({matched})",
        f"aggregated{suffix} as (select {whose}, "
        + ",\n".join(aggregates)
        + f"\nfrom matched{suffix} where {any_of} group by {whose})",
    ]
    ctes += [f"{name(f'ranked_{m.name}')} as ({_ranked(m, whose, suffix)})" for m in frequent]
    picked = "".join(f", {name(f'ranked_{m.name}')}.value as {name(m.name)}" for m in frequent)
    joined = "".join(
        f"\nleft join {name(f'ranked_{m.name}')} on {name(f'ranked_{m.name}')}.{whose} = aggregated{suffix}.{whose}"
        f" and {name(f'ranked_{m.name}')}.position = 1"
        for m in frequent
    )
    return [*ctes, f"final{suffix} as (select aggregated{suffix}.*{picked} from aggregated{suffix}{joined})"]


def _first_left(measures: Sequence[Measure]) -> str:
    """When a fact leaves the first of the windows that it counts for: the shortest of them."""
    windows: dict[int, list[str]] = {}
    for m in measures:
        if m.selection.hours:
            windows.setdefault(m.selection.hours, []).append(name(f"if__{m.name}"))
    branches = " ".join(
        f"when {' or '.join(counted)} then fact_at + interval {hours} hour"
        for hours, counted in sorted(windows.items())
    )
    return f"case {branches} end"


def _tie(facts: Facts, measures: Sequence[Measure]) -> list[str]:
    """What decides between facts at one moment, the same for all columns of a fact, so that two tags never tell of two facts: a hash
    of its key, since the texts of keys took longer to order and compare than everything else."""
    keys = ", ".join(f"facts.{name(k)}" for k in facts.key)
    return [f"hash({keys}) as {TIE}"] if any(m.aggregate in ORDERED for m in measures) else []


def since_sessions(numbers: Sequence[int], of: str = "facts") -> str:
    """A join that brings, for each number n, when the nth last session of the persons of a table began."""
    if not numbers:
        return ""
    begun = ", ".join(
        f"min(started_at) filter (where sessions_ago < {n}) as {name(f'since_session_{n}')}" for n in numbers
    )
    grouped = f"select person_id, {begun} from {ref('person_session')} group by person_id"
    return f"\nleft join ({grouped}) as sessions on sessions.person_id = {of}.person_id"


def _aggregates(measure: Measure, shared: dict[str, Moment] | None) -> list[str]:
    chosen = f"filter (where {name(f'if__{measure.name}')})"
    value = name(f"of__{measure.name}")
    order = f"row(fact_at, {TIE})"
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
    }
    # the most frequent value is found by ranking; days are counted from the kept moment when it is read
    elsewhere = measure.aggregate == "most_frequent" or (measure.aggregate == "days_since" and shared is not None)
    found = [] if elsewhere else [f"{sql[measure.aggregate]} as {name(measure.name)}"]
    at = f"{measure.name}__at"
    if shared is None or shared[measure.name].column == at:
        found.append(f"max(fact_at) {chosen} as {name(at)}")
    return found


def _ranked(measure: Measure, whose: str, suffix: str) -> str:
    """Values of a person by how often they occur; ties go to the value seen last, then to the least value."""
    value = name(f"of__{measure.name}")
    return (
        f"select {whose}, {value} as value, row_number() over (partition by {whose}"
        f" order by count(*) desc, max(fact_at) desc, {value} asc) as position"
        f" from matched{suffix} where {name(f'if__{measure.name}')} and {value} is not null group by {whose}, {value}"
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
