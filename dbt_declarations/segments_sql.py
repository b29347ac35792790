"""Writes the models of segments: all of them in one wide pass over persons, then one row per segment and member.

Order of what narrows a segment: conditions, the group it belongs to, its limit, its holdout; a split divides the rest.
Who is held out of a segment, or beyond nothing but its holdout, still counts as "fits" for the group.
"""

from __future__ import annotations

from collections.abc import Sequence

from dbt_declarations.graph import layers
from dbt_declarations.kept import aging, finish_kept
from dbt_declarations.kinds import Segment
from dbt_declarations.kinds.segments import HOLDOUT
from dbt_declarations.packed import Bit, Part, layout, packed, with_words
from dbt_declarations.segments import CheckedSegment, uses
from dbt_declarations.sql import active, constants, finish, name, ref, render, text, while_active
from dbt_declarations.wide import base

WIDE = "int_segments__person_evaluated"
BUCKETS = 10_000  # a hundredth of a percent
CATALOGUE = (
    ("segment", "varchar"),
    ("source", "varchar"),
    ("part_of", "varchar"),
    ("owner", "varchar"),
    ("description", "varchar"),
    ("refresh", "varchar"),
    ("since_on", "date"),
    ("expires_on", "date"),
    ("exclusive_group", "varchar"),
    ("grows_at_most", "double"),
    ("shrinks_at_most", "double"),
    ("may_be_empty", "boolean"),
    ("within_days", "bigint"),
    ("accepted_on", "date"),
)


def segment_models(segments: Sequence[CheckedSegment], handwritten: Sequence[str]) -> dict[str, str]:
    """SQL by model name."""
    return {
        WIDE: wide(segments),
        "int_segments__members": finish(
            _members(segments, handwritten),
            schema="segments",
            what="One row: a segment and a person in it at as_of.",
            materialized="view",
        ),
        "int_segments__members_packed": finish(
            packed(_parts(segments)),
            schema="segments",
            what="One row: a person and the declared segments they are in, as bits.",
            materialized="view",
        ),
        "int_segments__layout": finish(
            layout(_parts(segments)), schema="segments", what="One row: a declared segment and the bit it is."
        ),
        "segment": finish(_catalogue(segments, handwritten), schema="segments", what="One row: a segment."),
    }


def wide(segments: Sequence[CheckedSegment]) -> str:
    """The model with one row per person: a column for each segment and each of its parts."""
    own = sorted(n for s in segments for n in (s.segment.name, *s.segment.parts))
    ctes, last = _layers(segments)
    listed = "".join(f", {name(f'segment__{n}')} as {name(n)}" for n in own)
    inputs = _inputs(segments)
    kept = "" if inputs is None else ", inputs_digest"
    words = {column: sql for part in _parts(segments) for column, sql in part.stored_words.items()}
    ctes.append(f"named as (select person_id, person_number{listed}{kept} from {last})")
    ctes.append(f"evaluated as ({with_words(words, 'named', 'wide')})")
    columns = ["person_id", "person_number", *(name(n) for n in own), *words]
    what = "One row: a person, one column per declared segment. Who is made from what the last run had is not computed again."
    return finish_kept(
        base(_reads(segments), numbered=True),
        ctes,
        columns,
        "evaluated",
        schema="segments",
        what=what,
        history=("int_segments", "entered_at", "exited_at"),
        inputs=inputs,
        twice=[name(n) for n in own],  # bits say it, too
    )


def _inputs(segments: Sequence[CheckedSegment]) -> list[str] | None:
    """What a person's row is made from; None when it is made from other persons, too: those of the account, or before them."""
    if any(s.segment.accounts or s.segment.limit for s in segments):
        return None
    aged = {sql for s in segments for e in s.conditions.values() for sql in aging(e)}
    dated = {condition for s in segments if (condition := active(s.segment))}
    return [*(name("__".join(r)) for r in sorted(_reads(segments))), *sorted(aged), *sorted(dated)]


def _reads(segments: Sequence[CheckedSegment]) -> set[tuple[str, str]]:
    """The columns that segments are computed from, but for each other."""
    own = {n for s in segments for n in (s.segment.name, *s.segment.parts)}
    return {r for s in segments for r in s.reads if r[0] != "segment" or r[1] not in own}


def placement(segments: Sequence[CheckedSegment], asked: CheckedSegment) -> str:
    """The select of who fits the segments of a group (`fits__<name>`), and of the place of each person in the order of the asked
    segment's limit (`place`, among those who fit), with the columns that the order is made from."""
    ctes, last = _layers(segments)
    ctes = [f"layer_0 as ({base(_reads(segments))})", *ctes]
    columns = [name(f"fits__{s.segment.name}") for s in segments]
    if asked.segment.limit and asked.order_by:
        columns += [name(f"{n}__{c}") for n, c in sorted(asked.order_by.reads)]
        columns.append(f"{_place_in_order(asked)} as place")
    ctes.append(f"final as (select person_id, {', '.join(dict.fromkeys(columns))} from {last})")
    return "with " + ",\n".join(ctes) + "\nselect * from final"


def _layers(segments: Sequence[CheckedSegment]) -> tuple[list[str], str]:
    """The steps of the wide pass after `layer_0`, and the name of the last one."""
    by_name = {s.segment.name: s for s in segments}
    ctes: list[str] = []
    last = "layer_0"
    for position, layer in enumerate(layers(uses(segments)), start=1):
        steps = [
            [column for n in layer for column in step(by_name[n])] for step in (_fitting, _within_limit, _in_or_held)
        ]
        for number, columns in enumerate(steps):
            if columns:
                following = f"layer_{position}_{number}"
                ctes.append(f"{following} as (select *, {', '.join(columns)} from {last})")
                last = following
    return ctes, last


def _fitting(segment: CheckedSegment) -> list[str]:
    """`fits__<name>`: the conditions hold, and no segment before it in its group fits."""
    conditions = {key: f"coalesce({render(typed)}, false)" for key, typed in segment.conditions.items()}
    needed = [conditions["where"]] if "where" in conditions else []
    account = f"{name('person__account_key')}"
    for key, aggregate in (("any", "bool_or({})"), ("all", "bool_and({})"), ("none", "not bool_or({})")):
        if f"accounts.{key}" in conditions:
            over = aggregate.format(conditions[f"accounts.{key}"]) + f" over (partition by {account})"
            needed.append(f"({account} is not null and {over})")
    value = " and ".join(needed) or "false"
    if "include" in conditions:
        value = f"({value}) or {conditions['include']}"
    if "exclude" in conditions:
        value = f"({value}) and not {conditions['exclude']}"
    for other in segment.yields_to:
        value = f"({value}) and not {name(f'fits__{other}')}"
    return [f"coalesce({while_active(segment.segment, value)}, false) as {name(f'fits__{segment.segment.name}')}"]


def _within_limit(segment: CheckedSegment) -> list[str]:
    limit = segment.segment.limit
    if limit is None or segment.order_by is None:
        return []
    fits = name(f"fits__{segment.segment.name}")
    return [f"{fits} and {_place_in_order(segment)} <= {limit.most} as {name(f'chosen__{segment.segment.name}')}"]


def _place_in_order(segment: CheckedSegment) -> str:
    """A person's place in the order of the segment's limit, among those who fit."""
    limit, order_by = segment.segment.limit, segment.order_by
    assert limit is not None and order_by is not None  # noqa: S101 - callers look first
    order = f"{render(order_by)} {'desc' if limit.descending else 'asc'} nulls last, person_id asc"
    return f"row_number() over (partition by {name(f'fits__{segment.segment.name}')} order by {order})"


def _in_or_held(segment: CheckedSegment) -> list[str]:
    declared = segment.segment
    chosen = name(f"{'chosen' if declared.limit else 'fits'}__{declared.name}")
    columns, within = [], chosen
    if declared.holdout:
        held = f"{bucket(declared.holdout.key or declared.name, HOLDOUT)} < {_buckets(declared.holdout.percent)}"
        columns.append(f"{chosen} and {held} as {name(f'segment__{declared.name}__{HOLDOUT}')}")
        within = f"{chosen} and not {held}"
    columns.append(f"{within} as {name(f'segment__{declared.name}')}")
    low = 0.0
    for arm in declared.split or []:
        high = low + arm.percent
        drawn = bucket(declared.name, "split")
        drawn_in = f"{drawn} >= {_buckets(low)} and {drawn} < {_buckets(high)}"
        columns.append(f"{within} and {drawn_in} as {name(f'segment__{declared.name}__{arm.arm}')}")
        low = high
    return columns


def bucket(key: str, purpose: str) -> str:
    """A number from 0 to 9999 of a person that only their OneID and the key decide: the same in every run and rebuild."""
    return f"(md5_number_lower(person_id || {text(f':{purpose}:{key}')}) % {BUCKETS})"


def _buckets(percent: float) -> int:
    return round(percent * BUCKETS / 100)


def _members(segments: Sequence[CheckedSegment], handwritten: Sequence[str]) -> str:
    selects = [
        f"select {text(n)} as segment, person_id, person_number from {ref(WIDE)} where {name(n)}"
        for s in segments
        for n in (s.segment.name, *s.segment.parts)
    ]
    selects += [
        f"select distinct {text(n)} as segment, members.person_id, audience.person_number"
        f" from {ref(f'segment_{n}')} as members"
        f" inner join {ref('audience')} as audience on audience.person_id = members.person_id"
        for n in sorted(handwritten)
    ]
    return "\nunion all\n".join(selects) or constants(
        (("segment", "varchar"), ("person_id", "varchar"), ("person_number", "ubigint")), []
    )


def _parts(segments: Sequence[CheckedSegment]) -> list[Part]:
    """All declared segments and their parts as bits."""
    own = sorted(n for s in segments for n in (s.segment.name, *s.segment.parts))
    bits = tuple(Bit(n, f"wide.{name(n)}", stored=True) for n in own)
    return [Part("declared", bits, ref(WIDE), "wide")] if bits else []


def _catalogue(segments: Sequence[CheckedSegment], handwritten: Sequence[str]) -> str:
    rows: list[list[object]] = []
    for declared in (s.segment for s in segments):
        told = [declared.owner, declared.description, declared.refresh, declared.since, declared.expires]
        rows.append([declared.name, "declared", None, *told, declared.group, *_bounds(declared)])
        rows += [[part, "declared", declared.name, *told, None, *[None] * 5] for part in declared.parts]
    rows += [[n, "model", *[None] * (len(CATALOGUE) - 2)] for n in handwritten]
    return constants(CATALOGUE, sorted(rows, key=lambda row: str(row[0])))


def _bounds(segment: Segment) -> list[object]:
    drift = segment.drift
    if drift is None:
        return [None] * 5
    return [drift.grows_at_most, drift.shrinks_at_most, drift.may_be_empty, drift.within_days, drift.accepted_on]
