"""The engine: plan -> deliver -> record, for one sync at a time.

plan(name, settings)        what a run would do; sends nothing
run(name, settings, as_of)  do it; the outcome of every row is in the ledger and in the delivery log
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

from cdp.errors import CdpError, ConfigurationError
from cdp.settings import Settings
from reverse_etl import alerts, catalog, masking, messages, recover
from reverse_etl import delivery_log as log
from reverse_etl.catalog import ResolvedSync
from reverse_etl.changes import SENT
from reverse_etl.consent import ConsentGate
from reverse_etl.deliver import Delivering, Delivery
from reverse_etl.destination import (
    UNREADABLE,
    BatchRejectedError,
    Client,
    SchemaGoneError,
    UnavailableError,
    connect,
    connection_of,
)
from reverse_etl.destination_spec import Rate
from reverse_etl.errors import BlastRadiusError, ForeignStateError, PausedError, PlanMovedError
from reverse_etl.ledger import Ledger
from reverse_etl.pace import Pace
from reverse_etl.plan import Plan, make_plan, mapping_of
from reverse_etl.result import SyncResult, result_of
from reverse_etl.send import Sender

Clock = Callable[[], datetime]


def sync_names(settings: Settings) -> list[str]:
    """Names of all declared syncs, sorted."""
    return catalog.sync_names(settings)


def delivery_log(settings: Settings) -> Path:
    """Folder of the delivery log; see `reverse_etl.delivery_log.folder`."""
    return log.folder(settings)


def wall_clock() -> datetime:
    """The one clock that caps, quiet hours and the age of keys are judged by."""
    return datetime.now(UTC)


def plan(name: str, settings: Settings, *, resolved: ResolvedSync | None = None) -> Plan:
    """What a run would send now. Raises DeclarationError or ConfigurationError."""
    resolved = resolved or catalog.resolve(name, settings)
    with closing(Ledger(settings)) as ledger:
        return make_plan(resolved, ledger, settings)


def run(
    name: str,
    settings: Settings,
    as_of: datetime | str,
    *,
    accept: str | None = None,
    exactly: str | None = None,
    only_open: bool = False,
    resolved: ResolvedSync | None = None,
    pace: Pace | None = None,
    clock: Clock = wall_clock,
) -> SyncResult:
    """Bring the destination to what the source wants.

    `accept`: id of a plan that may exceed the blast radius; it must still be the plan. `exactly`: id of the plan that is
    to be carried out, or nothing is. `only_open`: only rows that are open (a retry). `resolved`: instead of the declared
    sync of that name (a replay). `pace`: made by the caller, who can then stop the run.

    Raises DeclarationError, ConfigurationError (setting missing, credentials refused), BusyError (the sync runs already),
    PausedError, BlastRadiusError, PlanMovedError, ForeignStateError, LedgerError. Rows that fail do not raise: they are
    in the result.
    """
    resolved = resolved or catalog.resolve(name, settings)
    settings_of = connection_of(resolved.spec, settings, resolved.settings_name)
    moment, pace = _iso(as_of), pace or pace_of(resolved)
    with closing(Ledger(settings)) as ledger, ledger.only_run(resolved.ledger_name):
        ledger.close_crashed(resolved.ledger_name)
        log.write(resolved, ledger, settings)
        _check_control(resolved, ledger, account_mark(resolved, settings_of))
        run_id = ledger.start_run(resolved.ledger_name, moment, mapping_of(resolved))
        try:
            with _Run(resolved, ledger, settings, run_id, moment, pace, clock) as job:
                result = job.go(accept, exactly, only_open=only_open)
        finally:
            # Also after a failure: outcomes of what was sent before it are told, and people are.
            log.write(resolved, ledger, settings)
            alerts.after_run(resolved.sync, resolved.ledger_name, ledger, settings)
    if job.error is not None:
        raise job.error
    return result


def pace_of(resolved: ResolvedSync) -> Pace:
    """The clock of a run's calls: the destination's limits, and the sync's own."""
    limits, rates = resolved.sync.limits, list(resolved.spec.rates)
    if limits.calls_per_second is not None:
        own = limits.calls_per_second
        rates.append(Rate(calls=1, seconds=1 / own) if own < 10 else Rate(calls=int(own), seconds=1))
    return Pace(resolved.spec.retry, rates, seconds_left=limits.max_seconds)


def account_mark(resolved: ResolvedSync, connection: dict[str, str]) -> str:
    """A mark of the account that acknowledges: its settings without secrets, and of URLs without scheme and port."""
    told = []
    for name, key in sorted(resolved.spec.connection.items()):
        value = connection.get(name, "")
        if key.secret or not key.names_account:
            continue
        parts = urlsplit(value)
        told.append(f"{name}={(parts.hostname or '') + parts.path if parts.scheme else value}")
    return hashlib.sha256("\n".join(told).encode()).hexdigest()[:16]


class _Run:
    """One run, from its start in the ledger to its end."""

    def __init__(
        self,
        resolved: ResolvedSync,
        ledger: Ledger,
        settings: Settings,
        run_id: str,
        as_of: str,
        pace: Pace,
        clock: Clock,
    ) -> None:
        self._resolved, self._ledger, self._settings = resolved, ledger, settings
        self._run_id, self._as_of, self._pace, self._clock = run_id, as_of, pace, clock
        self._client: Client | None = None
        self._begun = time.monotonic()
        self.error: CdpError | None = None

    def __enter__(self) -> _Run:
        return self

    def __exit__(self, *_: object) -> None:
        if self._client is not None:
            self._client.close()

    def go(self, accept: str | None, exactly: str | None, *, only_open: bool) -> SyncResult:
        """Recover, plan, check, deliver, close."""
        ledger, resolved, name = self._ledger, self._resolved, self._resolved.ledger_name
        todo: Plan | None = None
        try:
            unprepared = self._recover() if recover.needs_recovery(resolved, ledger) else ""
            todo = make_plan(resolved, ledger, self._settings, only=list(ledger.attempts(name)) if only_open else None)
            _check(todo, accept, exactly)
            delivery = self._deliver(todo, unprepared)
        except CdpError as error:
            stopped = isinstance(error, BlastRadiusError | PlanMovedError)
            counts = result_of(todo, Delivery(), self._run_id, self._pace.calls).figures(todo) if todo else {}
            self._finish("stopped" if stopped else "failed", counts, error.what, todo)
            raise
        self.error = delivery.error
        result = result_of(todo, delivery, self._run_id, self._pace.calls)
        ledger.note_invalid(name, self._run_id, todo.invalid)
        if not delivery.not_attempted and not only_open:
            ledger.close_open_rows(name, self._run_id)
        self._finish("succeeded" if result.ok else "failed", result.figures(todo), result.message, todo)
        ledger.close_decided(name)
        ledger.fold(name)
        return result

    def _finish(self, status: str, counts: dict[str, Any], message: str, todo: Plan | None) -> None:
        self._ledger.finish_run(
            self._resolved.ledger_name,
            self._run_id,
            status,
            counts,
            message,
            plan_id=todo.plan_id if todo else "",
            resync_reason=todo.resync_reason if todo else "",
            seconds=time.monotonic() - self._begun,
        )

    def _deliver(self, todo: Plan, unprepared: str) -> Delivery:
        has_forgotten = bool(todo.counts["forget"])
        if todo.is_empty and not has_forgotten:
            return Delivery()
        unprepared = unprepared or ("" if todo.is_empty else self._prepare())
        if unprepared:
            waiting = sum(todo.counts[operation] for operation in SENT)
            return Delivery(not_attempted=waiting, message=unprepared)
        return self._work().deliver(todo.operations, has_forgotten=has_forgotten)

    def _recover(self) -> str:
        if unprepared := self._prepare():
            return unprepared
        assert self._client is not None  # noqa: S101 - made by _prepare
        # A run that died after a success may have left a doubt that is none any more.
        self._ledger.close_decided(self._resolved.ledger_name)
        recover.recover(self._work(), self._client)
        return ""

    def _prepare(self) -> str:
        """Connect and prepare once; why it was not possible, or nothing."""
        if self._client is not None:
            return ""
        spec = self._resolved.spec
        self._client = connect(self._resolved, self._settings, self._pace)
        try:
            self._client.prepare(self._resolved.sync.object, self._resolved.fields, self._resolved.options)
        except SchemaGoneError as error:
            raise ConfigurationError(
                f"{spec.name} has no field {', '.join(error.fields)} in {self._resolved.sync.object} any more",
                where=self._resolved.ledger_name,
                expected="every field of the sync",
                fix="create it there again, or take it out of the sync's `fields`",
            ) from None
        except (UnavailableError, BatchRejectedError, *UNREADABLE) as error:
            # An unreadable answer's own text may quote it, so only its kind is told.
            reason = type(error).__name__ if isinstance(error, UNREADABLE) else masking.redact(str(error), {})
            return f"{spec.name} cannot be prepared: {reason}"
        return ""

    def _work(self) -> Delivering:
        # Rows that are only forgotten need no client, and none is connected for them.
        sender = Sender(self._resolved, cast(Client, self._client), self._as_of)
        return Delivering(
            self._resolved,
            self._ledger,
            sender,
            self._pace,
            ConsentGate(self._resolved, self._settings),
            self._run_id,
            messages.policy(self._settings),
            self._clock,
        )


def _check_control(resolved: ResolvedSync, ledger: Ledger, mark: str) -> None:
    control = ledger.control(resolved.ledger_name)
    if control.paused_reason:
        raise PausedError(
            f"the sync is paused: {control.paused_reason}",
            where=resolved.ledger_name,
            fix=f"`cdp sync resume {resolved.sync.name}` when it may go on",
        )
    if not control.bound_to:
        ledger.set_control(resolved.ledger_name, bound_to=mark)
    elif control.bound_to != mark:
        raise ForeignStateError(
            "the ledger's state was acknowledged by another account than the one that is set now",
            where=resolved.ledger_name,
            expected=f"the settings CDP_{resolved.settings_name.upper()}__... of the runs before",
            fix=f"set them again; or, if the account has really changed, `cdp sync reset {resolved.sync.name}"
            " --new-account --reason ...`, after which all rows are sent to it",
        )


def _check(todo: Plan, accept: str | None, exactly: str | None) -> None:
    name = todo.resolved.sync.name
    for wanted in (accept, exactly):
        if wanted is not None and wanted != todo.plan_id:
            raise PlanMovedError(
                f"the plan {wanted} is no longer the plan, which is now {todo.plan_id}",
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


def _iso(as_of: datetime | str) -> str:
    try:
        moment = as_of if isinstance(as_of, datetime) else datetime.fromisoformat(as_of)
    except ValueError:
        raise ConfigurationError(f'as_of is "{as_of}"', expected="an ISO 8601 time", fix="correct CDP_AS_OF") from None
    if moment.tzinfo is not None:
        moment = moment.astimezone(UTC).replace(tzinfo=None)
    return moment.isoformat(timespec="seconds")
