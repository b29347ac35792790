"""Frequency caps and quiet hours of messages, across all syncs: `reverse_etl/messages.yml`.

Counted is what reached a person or may have (in doubt counts). Days and hours are those of the declared time zone; a
clock that was set back cannot open a cap again, since messages from "the future" count too.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, time, timedelta
from typing import Literal
from zoneinfo import ZoneInfo, available_timezones

from pydantic import Field, field_validator

from cdp.declarations import Declaration, load
from cdp.settings import Settings
from reverse_etl.destination import Outcome
from reverse_etl.ledger import Ledger

Channel = Literal["email", "sms", "wechat", "push", "chat"]
_ALL: list[Channel] = ["email", "sms", "wechat", "push", "chat"]


class Cap(Declaration):
    """So many messages to one person in a period, all these channels and all syncs together."""

    channels: list[Channel] = Field(default=_ALL, min_length=1)
    at_most: int = Field(ge=1)
    per: Literal["day", "week", "month"] = Field(description="Calendar day, week from Monday, or month.")


class QuietHours(Declaration):
    """No message begins in these hours."""

    channels: list[Channel] = Field(default=_ALL, min_length=1)
    since: time = Field(description='Local time, e.g. "21:00".')
    until: time = Field(description="Local time; may lie behind midnight.")


class MessagePolicy(Declaration):
    """`reverse_etl/messages.yml`; without the file there are no caps and no quiet hours."""

    timezone: str = "UTC"
    caps: list[Cap] = Field(default=[])
    quiet_hours: list[QuietHours] = Field(default=[])

    @field_validator("timezone")
    @classmethod
    def _exists(cls, value: str) -> str:
        if value not in available_timezones():
            raise ValueError("an IANA time zone, e.g. Asia/Shanghai")
        return value

    def quiet(self, channel: str, moment: datetime) -> str:
        """Why no message may begin at a moment (UTC); empty when one may."""
        local = moment.astimezone(ZoneInfo(self.timezone)).time()
        for hours in self.quiet_hours:
            if channel not in hours.channels:
                continue
            within = (
                hours.since <= local < hours.until
                if hours.since <= hours.until
                else local >= hours.since or local < hours.until
            )
            if within:
                return f"quiet hours until {hours.until:%H:%M} {self.timezone}"
        return ""

    def since(self, cap: Cap, moment: datetime) -> datetime:
        """Begin of the cap's current period, in UTC without offset."""
        local = moment.astimezone(ZoneInfo(self.timezone)).replace(hour=0, minute=0, second=0, microsecond=0)
        if cap.per == "week":
            local -= timedelta(days=local.weekday())
        if cap.per == "month":
            local = local.replace(day=1)
        return local.astimezone(UTC).replace(tzinfo=None)


def policy(settings: Settings) -> MessagePolicy:
    """The project's policy. Raises DeclarationError."""
    path = settings.project_root / "reverse_etl" / "messages.yml"
    return load(path, MessagePolicy).value if path.exists() else MessagePolicy()


def suppressed(
    rules: MessagePolicy, channel: str, rows: Sequence[tuple[str, str]], ledger: Ledger, moment: datetime
) -> dict[str, Outcome]:
    """Of (key, person) in order, those that may not go now: key -> outcome.

    Call with `Ledger.message_lock` held until those that may go are written down.
    """
    if reason := rules.quiet(channel, moment):
        return {key: Outcome("suppressed", reason, "quiet_hours") for key, _ in rows}
    found: dict[str, Outcome] = {}
    for cap in rules.caps:
        if channel not in cap.channels:
            continue
        persons = sorted({person for _, person in rows})
        sent: dict[str, int] = dict(ledger.messages_since(persons, list(cap.channels), rules.since(cap, moment)))
        for key, person in rows:
            if key in found:
                continue
            sent[person] = sent.get(person, 0) + 1
            if sent[person] > cap.at_most:
                found[key] = Outcome("suppressed", f"{cap.at_most} a {cap.per} reached", "frequency_cap")
    return found


def longest_period(rules: MessagePolicy, moment: datetime) -> datetime:
    """Messages before this moment count for no cap."""
    return min([rules.since(cap, moment) for cap in rules.caps] or [moment.replace(tzinfo=None)])
