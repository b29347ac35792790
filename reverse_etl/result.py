"""Figures of a run."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from reverse_etl.changes import SENT
from reverse_etl.deliver import Delivery
from reverse_etl.plan import Plan


@dataclass(frozen=True)
class SyncResult:
    """Figures of a run, in rows; `calls` in calls."""

    sync: str
    run_id: str
    plan_id: str
    created: int = 0
    updated: int = 0
    appended: int = 0
    merged: int = 0
    deleted: int = 0
    rejected: int = 0
    failed: int = 0
    in_doubt: int = 0
    suppressed: int = 0
    not_attempted: int = 0
    held: int = 0
    invalid: int = 0
    unchanged: int = 0
    resent: int = 0
    calls: int = 0
    message: str = ""

    @property
    def sent(self) -> int:
        """Rows for which a call was made."""
        return self.succeeded + self.rejected + self.failed + self.in_doubt

    @property
    def succeeded(self) -> int:
        """Rows that the destination acknowledged."""
        return self.created + self.updated + self.appended + self.merged + self.deleted

    @property
    def ok(self) -> bool:
        """All rows that could be sent are acknowledged (invalid and suppressed rows are reported, not counted)."""
        return not (self.rejected or self.failed or self.in_doubt or self.not_attempted)

    def to_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return {**asdict(self), "sent": self.sent, "ok": self.ok}

    def figures(self, todo: Plan) -> dict[str, Any]:
        """For the ledger and the logs: the run's counts, the plan's, and updates by field."""
        own = {name: value for name, value in asdict(self).items() if isinstance(value, int)}
        planned = {
            name: todo.counts[name] for name in (*SENT, "unchanged", "invalid", "left", "held") if todo.counts[name]
        }
        return {**own, "source": todo.counts["source"], "planned": planned, "fields": todo.field_changes}


def result_of(todo: Plan, delivery: Delivery, run_id: str, calls: int) -> SyncResult:
    """The figures of a delivery of a plan."""
    count = delivery.outcomes

    def of(status: str) -> int:
        return sum(n for (_, found), n in count.items() if found == status)

    return SyncResult(
        sync=todo.resolved.ledger_name,
        run_id=run_id,
        plan_id=todo.plan_id,
        created=count["create", "succeeded"],
        updated=count["update", "succeeded"],
        appended=count["append", "succeeded"],
        merged=count["merge", "succeeded"],
        deleted=count["delete", "succeeded"],
        rejected=of("rejected"),
        failed=of("failed"),
        in_doubt=of("in_doubt"),
        suppressed=of("suppressed"),
        not_attempted=delivery.not_attempted,
        held=todo.counts["held"],
        invalid=todo.counts["invalid"],
        unchanged=todo.counts["unchanged"],
        resent=todo.counts["resend"],
        calls=calls,
        message=delivery.message,
    )
