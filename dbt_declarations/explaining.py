"""Why somebody is in a segment or not: each condition, and the rules that look at more than one person or segment."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dbt_declarations.ask import Leaf, Warehouse, explain
from dbt_declarations.kinds import Segment
from dbt_declarations.segments import CheckedSegment
from dbt_declarations.segments_sql import bucket, placement


def steps(
    warehouse: Warehouse, person_id: str, declared: Segment, group: Sequence[Segment]
) -> Iterator[tuple[str, Leaf]]:
    """Key and finding of each rule of a segment, in the order in which they work. `group`: all declared segments of its group.

    Raises DeclarationError when an expression no longer fits the warehouse.
    """
    accounts = {f"accounts.{k}": getattr(declared.accounts, k, None) for k in ("any", "all", "none")}
    written = {"where": declared.where, "include": declared.include, "exclude": declared.exclude, **accounts}
    for key, text in written.items():
        for leaf in explain(warehouse, person_id, text, key) if text else ():
            yield key, leaf
    yield from _placed(warehouse, person_id, declared, group)
    if declared.holdout:
        key = declared.holdout.key or declared.name
        drawn = warehouse.con.execute(
            f"select {bucket(key, 'holdout')} from (select ? as person_id)", [person_id]
        ).fetchall()[0][0]
        held = drawn < declared.holdout.percent * 100
        yield "holdout", Leaf(0, f"drawn {drawn / 100:.2f}, held out below {declared.holdout.percent:g}", held)


def _placed(
    warehouse: Warehouse, person_id: str, declared: Segment, group: Sequence[Segment]
) -> Iterator[tuple[str, Leaf]]:
    """Which segments of the group come first and fit, and the place in the order of the limit."""
    if not declared.group and not declared.limit:
        return
    first = sorted((s for s in group if _priority(s) < _priority(declared)), key=_priority) if declared.group else []
    checked = [
        _checked(warehouse, s, [o.name for o in first if _priority(o) < _priority(s)]) for s in (*first, declared)
    ]
    asked = checked[-1]
    sql = f"select * from ({placement(checked, asked)}) as placed where person_id = ?"
    cursor = warehouse.con.execute(warehouse.sql(sql), [person_id])
    names = [column[0] for column in cursor.description]
    rows = cursor.fetchall()
    if not rows:
        return
    found = dict(zip(names, rows[0], strict=True))
    for other in first:
        fits = bool(found[f"fits__{other.name}"])
        yield "group", Leaf(0, f"{other.name} (priority {other.priority}) does not fit", not fits)
    if declared.limit and asked.order_by:
        values = tuple((f"{n}.{c}", found[f"{n}__{c}"]) for n, c in sorted(asked.order_by.reads))
        limit, place = declared.limit, found["place"]
        said = f"among the first {limit.most:,} by {limit.order_by}"
        fits = bool(found[f"fits__{declared.name}"])
        yield "limit", Leaf(0, f"{said}: is number {place:,}" if fits else said, fits and place <= limit.most, values)


def _priority(segment: Segment) -> int:
    return segment.priority or 0


def _checked(warehouse: Warehouse, segment: Segment, yields_to: Sequence[str]) -> CheckedSegment:
    accounts = {f"accounts.{k}": getattr(segment.accounts, k, None) for k in ("any", "all", "none")}
    written = {"where": segment.where, "include": segment.include, "exclude": segment.exclude, **accounts}
    conditions = {key: warehouse.typed(text, f"{segment.name}: {key}") for key, text in written.items() if text}
    order_by = warehouse.value(segment.limit.order_by, f"{segment.name}: limit.order_by") if segment.limit else None
    return CheckedSegment(segment, conditions, order_by, tuple(yields_to))
