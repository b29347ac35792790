"""Alerts of syncs: told once when something begins to be wrong, and once when it is over.

Where to: `CDP_ALERTS__WEBHOOK_URL` (a JSON object), `CDP_ALERTS__SLACK_URL` (an incoming webhook), `CDP_ALERTS__SMTP_URL`
(`smtp://user:password@host:port`). An alert that cannot be delivered is tried again by the next run and fails nothing.
"""

from __future__ import annotations

import logging
import smtplib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from email.message import EmailMessage
from statistics import fmean
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from cdp.settings import Settings, connection
from reverse_etl.ledger import Ledger
from reverse_etl.ledger_rows import RunRecord

if TYPE_CHECKING:
    from reverse_etl.declaration import Alerts, Sync

log = logging.getLogger(__name__)

_TIMEOUT = 10.0
_HISTORY = 5


@dataclass(frozen=True)
class Alert:
    """What is told. No personal data: counts, names and reasons without values."""

    sync: str
    kind: str
    state: str
    detail: str
    run_id: str
    owner: str

    @property
    def sentence(self) -> str:
        """For people."""
        if self.state == "recovered":
            return f"{self.sync}: {self.kind.replace('_', ' ')} is over ({self.detail}), run {self.run_id}"
        return f"{self.sync}: {self.detail}, run {self.run_id} (owner: {self.owner})"


def after_run(sync: Sync, name: str, ledger: Ledger, settings: Settings) -> list[Alert]:
    """Judge the last run and tell what began or ended with it; returns what was told."""
    if sync.alerts is None:
        return []
    history = ledger.runs(name, _HISTORY + 1)
    if not history:
        return []
    run = history[0]
    wrong = dict(_judge(sync.alerts, run, history[1:]))
    open_before = ledger.open_alerts(name)
    new = [
        Alert(name, kind, "raised", detail, run.run_id, sync.owner)
        for kind, detail in wrong.items()
        if kind not in open_before
    ]
    over = [
        Alert(name, kind, "recovered", detail, run.run_id, sync.owner)
        for kind, detail in open_before.items()
        if kind not in wrong
    ]
    told = [alert for alert in [*new, *over] if _tell(alert, sync, settings)]
    still = {a.kind: a.detail for a in over if a not in told}
    raised = {kind: detail for kind, detail in wrong.items() if kind in open_before}
    ledger.set_alerts(name, run.run_id, {**still, **raised, **{a.kind: a.detail for a in told if a.state == "raised"}})
    return told


def _judge(rules: Alerts, run: RunRecord, before: list[RunRecord]) -> Iterator[tuple[str, str]]:
    counts = {name: value for name, value in run.counts.items() if isinstance(value, int)}
    if rules.failed_run and run.status != "succeeded":
        yield "failed_run", f"the run {run.status}" + (f": {run.message}" if run.message else "")
    bad = sum(counts.get(name, 0) for name in ("rejected", "invalid"))
    all_rows = bad + sum(counts.get(name, 0) for name in ("created", "updated", "appended", "deleted", "merged"))
    if rules.rejected_percent is not None and bad and 100 * bad > rules.rejected_percent * all_rows:
        yield "rejected_rows", f"{bad:,} of {all_rows:,} rows were rejected or invalid"
    if rules.full_resync and run.resync_reason:
        yield "full_resync", run.resync_reason
    if rules.max_seconds is not None and (run.seconds or 0) > rules.max_seconds:
        yield "runtime", f"the run took {run.seconds:.0f} s; alerts.max_seconds is {rules.max_seconds:g}"
    sizes = [int(r.counts["source"]) for r in before if r.status == "succeeded" and r.counts.get("source")]
    if rules.size_deviation_percent is not None and sizes and "source" in counts:
        usual = fmean(sizes)
        deviation = 100 * abs(counts["source"] - usual) / usual
        if deviation > rules.size_deviation_percent:
            yield (
                "size_deviation",
                f"the source has {counts['source']:,} rows, {usual:,.0f} are usual ({deviation:.0f} %)",
            )


def _tell(alert: Alert, sync: Sync, settings: Settings) -> bool:
    """Tell an alert on all its ways. False when none was reached."""
    import httpx

    assert sync.alerts is not None  # noqa: S101 - checked by after_run
    places, reached = connection("alerts", settings), False
    for way in sync.alerts.to:
        key = "smtp_url" if way == "email" else f"{way}_url"
        if not places.get(key):
            log.warning("alert of %s by %s: CDP_ALERTS__%s is not set", alert.sync, way, key.upper())
            continue
        try:
            if way == "email":
                _mail(places[key], sync.alerts.address or sync.owner, alert)
            else:
                body: dict[str, Any] = {"text": alert.sentence} if way == "slack" else asdict(alert)
                httpx.post(places[key], json=body, timeout=_TIMEOUT).raise_for_status()
            reached = True
        except (httpx.HTTPError, OSError, smtplib.SMTPException) as error:
            log.warning("alert of %s by %s could not be delivered: %s", alert.sync, way, type(error).__name__)
    return reached


def _mail(url: str, address: str, alert: Alert) -> None:
    parts = urlsplit(url)
    mail = EmailMessage()
    mail["Subject"] = f"[Tributary] {alert.sync}: {alert.kind.replace('_', ' ')} {alert.state}"
    mail["From"], mail["To"] = "tributary@localhost", address
    mail.set_content(alert.sentence)
    with smtplib.SMTP(parts.hostname or "localhost", parts.port or 25, timeout=_TIMEOUT) as server:
        if parts.scheme == "smtp+starttls":
            server.starttls()
        if parts.username:
            server.login(unquote(parts.username), unquote(parts.password or ""))
        server.send_message(mail)
