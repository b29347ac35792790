"""What of the plan arrives: counted by `tracking.tracking_event_day`, beside what was planned."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

from cdp.errors import ConfigurationError
from cdp.settings import Settings
from cdp.tracking_plan import Plan
from cdp.warehouse import reading


@dataclass(frozen=True)
class Covered:
    """One event of one source; `status` is the plan's, or `unplanned`."""

    event: str
    source: str
    status: str
    events: int
    in_violation: int
    blocked: int
    first_on: date | None
    last_on: date | None

    def to_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return {k: str(v) if isinstance(v, date) else v for k, v in asdict(self).items()}


def read_coverage(plan: Plan, settings: Settings) -> list[Covered]:
    """Every planned event by source, arrived or not, then what is unplanned. Raises ConfigurationError before the first build."""
    with reading(settings) as con:
        built = con.execute(
            "select 1 from information_schema.tables where table_schema = 'tracking' and table_name = 'tracking_event_day'"
        ).fetchall()
        if not built:
            raise ConfigurationError(
                "nothing was counted yet", where=str(settings.warehouse_path), fix="run `cdp run` first"
            )
        counted = {
            (event, source): (int(n), int(wrong), int(blocked), first, last)
            for event, source, n, wrong, blocked, first, last in con.execute(
                "select event_name, source, sum(events), sum(events_in_violation), sum(events_blocked), min(occurred_on), "
                "max(occurred_on) from tracking.tracking_event_day group by 1, 2 order by 1, 2"
            ).fetchall()
        }
    status = {(e.name, s): e.status for e in plan.events.values() for s in e.sources}
    nothing = (0, 0, 0, None, None)
    return [
        Covered(event, source, str(status.get((event, source), "unplanned")), *counted.get((event, source), nothing))
        for event, source in sorted(status.keys() | counted.keys(), key=lambda k: (k not in status, k))
    ]
