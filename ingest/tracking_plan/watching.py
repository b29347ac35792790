"""What the counts of events say at a moment: too many violations, unusual volume, events that stopped.

One statement over `tracking.tracking_event_day`, whose rows are days of events and not events. The last day that is whole is
the one before `as_of`. What is usual is the median of the days before it, so that one bad day does not decide; of an event that
has not come for so many days yet, it is what the plan expects (`expected_per_day`, in equal parts of its sources).
"""

from __future__ import annotations

from dataclasses import dataclass

from cdp.settings import Settings
from cdp.tracking_plan import Plan
from cdp.warehouse import reading
from ingest.typing import literal

VIOLATION_RATE, VOLUME, STOPPED = "violation_rate", "volume", "stopped"


@dataclass(frozen=True)
class Alarm:
    """`found` against `expected`: shares of events, events a day, or days without one."""

    check: str
    event: str
    source: str
    found: float
    expected: float


def watch(plan: Plan, settings: Settings, as_of: str) -> list[Alarm]:
    """All alarms at `as_of` (ISO 8601, UTC), in the order of check, event and source. The warehouse must be built."""
    limits = plan.settings.monitoring
    live = ", ".join(
        f"({literal(e.name)}, {'null' if e.expected_per_day is None else e.expected_per_day}::double)"
        for e in plan.events.values()
        if e.status == "live"
    )
    with reading(settings, live=True) as con:
        rows = con.execute(
            f"""
            with live as (select * from (values {live or "(null, null::double)"}) as p(event_name, expected)),
            day as (
                select event_name, source, occurred_on, sum(events) as events, sum(events_in_violation) as broken
                from tracking.tracking_event_day semi join live using (event_name)
                where occurred_on < cast($as_of as timestamp)::date group by all
            ),
            dates as (
                select cast($as_of as timestamp)::date - n::integer as on_date, n as ago
                from range(1, {limits.volume_days + limits.stopped_after_days + 1}) as r(n)
            ),
            pair as (
                select event_name, source, min(occurred_on) as since,
                    live.expected / count(*) over (partition by event_name) as expected
                from day inner join live using (event_name) group by event_name, source, live.expected
            ),
            filled as (
                select pair.*, dates.ago, coalesce(day.events, 0) as events, coalesce(day.broken, 0) as broken
                from pair cross join dates
                left join day on day.event_name = pair.event_name and day.source = pair.source and day.occurred_on = dates.on_date
            ),
            summed as (
                select event_name, source,
                    cast($as_of as timestamp)::date - since > {limits.volume_days} as is_known,
                    max(events) filter (where ago = 1) as last_events,
                    max(broken) filter (where ago = 1) as last_broken,
                    case when is_known or expected is null
                        then median(events) filter (where ago between 2 and {limits.volume_days + 1}) else expected end as usual,
                    sum(events) filter (where ago <= {limits.stopped_after_days}) as recent,
                    avg((events > 0)::integer) filter (where ago > {limits.stopped_after_days}) as daily
                from filled group by event_name, source, since, expected
            )
            select '{VIOLATION_RATE}', event_name, source, last_broken / last_events, {limits.violation_rate}
            from summed where last_events >= {limits.volume_at_least} and last_broken / last_events > {limits.violation_rate}
            union all
            select '{VOLUME}', event_name, source, last_events, usual
            from summed where usual >= {limits.volume_at_least} and recent > 0
                and (last_events > usual * {limits.volume_factor} or last_events < usual / {limits.volume_factor})
            union all
            select '{STOPPED}', event_name, source, {limits.stopped_after_days}, 0
            from summed where recent = 0 and daily >= 0.8
            order by 1, 2, 3
            """,
            {"as_of": as_of},
        ).fetchall()
    return [Alarm(str(c), str(e), str(s), float(found), float(expected)) for c, e, s, found, expected in rows]
