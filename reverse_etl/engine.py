"""The engine: plan -> deliver -> record, for one sync at a time.

plan(name, settings)        what a run would do; sends nothing
run(name, settings, as_of)  do it; the outcome of every row is in the ledger and in the delivery log
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from cdp.errors import BusyError, CdpError, ConfigurationError
from cdp.settings import Settings
from reverse_etl import catalog, masking
from reverse_etl import delivery_log as log
from reverse_etl.deliver import Delivery, deliver
from reverse_etl.destination import UNREADABLE, BatchRejectedError, UnavailableError, connect, connection_of
from reverse_etl.errors import BlastRadiusError, PlanMovedError
from reverse_etl.ledger import Ledger
from reverse_etl.pace import Pace
from reverse_etl.plan import Plan, make_plan, mapping_of


@dataclass(frozen=True)
class SyncResult:
    """Figures of a run, in rows."""

    sync: str
    run_id: str
    plan_id: str
    created: int = 0
    updated: int = 0
    deleted: int = 0
    rejected: int = 0
    failed: int = 0
    not_attempted: int = 0
    invalid: int = 0
    unchanged: int = 0
    resent: int = 0
    message: str = ""

    @property
    def sent(self) -> int:
        """Rows for which a call was made."""
        return self.created + self.updated + self.deleted + self.rejected + self.failed

    @property
    def ok(self) -> bool:
        """All rows that could be sent are acknowledged (invalid rows are reported, not counted against the run)."""
        return not (self.rejected or self.failed or self.not_attempted)

    def to_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return {**asdict(self), "sent": self.sent, "ok": self.ok}


def sync_names(settings: Settings) -> list[str]:
    """Names of all declared syncs, sorted."""
    return catalog.sync_names(settings)


def delivery_log(settings: Settings) -> Path:
    """Folder of the delivery log; see `reverse_etl.delivery_log.folder`."""
    return log.folder(settings)


def plan(name: str, settings: Settings) -> Plan:
    """What a run would send now. Raises DeclarationError or ConfigurationError."""
    resolved = catalog.resolve(name, settings)
    with closing(Ledger(settings)) as ledger:
        return make_plan(resolved, ledger, settings)


def run(name: str, settings: Settings, as_of: datetime | str, *, accept: str | None = None) -> SyncResult:
    """Bring the destination to what the source wants.

    `accept` is the id of a plan that may exceed the blast radius; it must still be the plan. Raises DeclarationError,
    ConfigurationError (setting missing, credentials refused), BusyError (the sync runs already), BlastRadiusError,
    PlanMovedError. Rows that fail do not raise: they are in the result.
    """
    resolved = catalog.resolve(name, settings)
    connection_of(resolved.spec, settings)
    moment = _iso(as_of)
    with _only_run(name, settings), closing(Ledger(settings)) as ledger:
        ledger.crashed_runs(name)
        log.write(name, ledger, settings)
        todo = make_plan(resolved, ledger, settings)
        run_id = ledger.start_run(name, moment, mapping_of(resolved))
        try:
            _check(todo, accept)
            delivery = _deliver(todo, ledger, settings, run_id, moment)
        except CdpError as error:
            stopped = isinstance(error, BlastRadiusError | PlanMovedError)
            ledger.finish_run(name, run_id, "blocked" if stopped else "failed", todo.counts, error.what)
            raise
        result = _result(todo, delivery, run_id)
        invalid = todo.invalid.select(["key", "reason"]).to_pylist()
        ledger.record_invalid(name, run_id, [(row["key"], row["reason"]) for row in invalid])
        if not delivery.not_attempted:
            ledger.close_failures(name, run_id)
        ledger.finish_run(name, run_id, "succeeded" if result.ok else "failed", _figures(result), result.message)
        log.write(name, ledger, settings)
    if delivery.error:
        raise delivery.error
    return result


def _check(todo: Plan, accept: str | None) -> None:
    name = todo.resolved.sync.name
    if accept is not None and accept != todo.plan_id:
        raise PlanMovedError(
            f"the accepted plan {accept} is no longer the plan, which is now {todo.plan_id}",
            where=name,
            fix=f"look at `cdp sync plan {name}` again",
        )
    if todo.violations and accept is None:
        raise BlastRadiusError(
            "nothing was sent: " + "; ".join(todo.violations),
            where=name,
            expected="a change within the sync's limits",
            fix=f"look at `cdp sync plan {name}`; if it is right, `cdp sync run {name} --accept {todo.plan_id}`",
        )


def _deliver(todo: Plan, ledger: Ledger, settings: Settings, run_id: str, as_of: str) -> Delivery:
    if todo.is_empty:
        return Delivery()
    spec = todo.resolved.spec
    with closing(connect(todo.resolved, settings, Pace(spec.retry, spec.rates))) as client:
        try:
            client.prepare(todo.resolved.fields, todo.resolved.options)
        except (UnavailableError, BatchRejectedError, *UNREADABLE) as error:
            # An unreadable answer's own text may quote it, so only its kind is told.
            reason = type(error).__name__ if isinstance(error, UNREADABLE) else masking.redact(str(error), {})
            waiting = sum(todo.counts[operation] for operation in ("create", "update", "delete"))
            return Delivery(not_attempted=waiting, message=f"{todo.resolved.spec.name} cannot be prepared: {reason}")
        return deliver(todo, client, ledger, run_id, as_of)


def _result(todo: Plan, delivery: Delivery, run_id: str) -> SyncResult:
    count = delivery.outcomes

    def of(status: str) -> int:
        return sum(n for (_, found), n in count.items() if found == status)

    return SyncResult(
        sync=todo.resolved.sync.name,
        run_id=run_id,
        plan_id=todo.plan_id,
        created=count["create", "succeeded"],
        updated=count["update", "succeeded"],
        deleted=count["delete", "succeeded"],
        rejected=of("rejected"),
        failed=of("failed") + of("in_doubt"),
        not_attempted=delivery.not_attempted,
        invalid=todo.counts["invalid"],
        unchanged=todo.counts["unchanged"],
        resent=todo.counts["resend"],
        message=delivery.message,
    )


def _figures(result: SyncResult) -> dict[str, int]:
    return {name: value for name, value in asdict(result).items() if isinstance(value, int)}


@contextmanager
def _only_run(name: str, settings: Settings) -> Iterator[None]:
    path = settings.path("locks", f"sync_{name}.lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(str(path), timeout=0)
        lock.acquire()
    except Timeout:
        raise BusyError(f"{name} is running already", where=str(path), fix="wait for that run to end") from None
    except OSError as error:
        raise ConfigurationError(
            f"cannot be written: {error.strerror or error}", where=str(path.parent), fix="check rights and free space"
        ) from None
    try:
        yield
    finally:
        lock.release()


def _iso(as_of: datetime | str) -> str:
    try:
        moment = as_of if isinstance(as_of, datetime) else datetime.fromisoformat(as_of)
    except ValueError:
        raise ConfigurationError(f'as_of is "{as_of}"', expected="an ISO 8601 time", fix="correct CDP_AS_OF") from None
    if moment.tzinfo is not None:
        moment = moment.astimezone(UTC).replace(tzinfo=None)
    return moment.isoformat(timespec="seconds")
