"""What people decide about a sync between its runs: pause, resume, reset, settle doubts; and its open rows explained."""

from __future__ import annotations

from contextlib import closing
from typing import Any

from cdp.settings import Settings
from reverse_etl import catalog, recover
from reverse_etl.ledger import Ledger
from reverse_etl.plan import mapping_of

_OWN_CODES = {
    "invalid": ("invalid_value", "Correct the row in the source; it is sent as soon as it fits the field's rules."),
    "no_consent": ("no_consent", "Nothing: it is sent when the person agrees."),
    "frequency_cap": ("quota", "Nothing: it is sent in the cap's next period, if it is still wanted."),
    "quiet_hours": ("quota", "Nothing: it is sent after the quiet hours."),
    "unavailable": ("unavailable", "Nothing: the next run tries again. If it lasts, ask the vendor."),
    "stopped": ("unavailable", "Nothing: the next run goes on."),
    "not_sent": ("unavailable", "Nothing: the next run tries again."),
    "no_answer": (
        "unavailable",
        "See whether it arrived; then `cdp sync retry NAME --held sent` or `--held not-sent`.",
    ),
    "rate_limit": ("rate_limit", "Run later, or lower limits.calls_per_second."),
    "permission": ("permission", "Correct the credentials."),
}


def pause(name: str, settings: Settings, reason: str) -> str:
    """Refuse runs until `resume`."""
    resolved = catalog.resolve(name, settings)
    with closing(Ledger(settings)) as ledger:
        ledger.set_control(resolved.ledger_name, paused_reason=reason)
    return f"{name} is paused: {reason}"


def resume(name: str, settings: Settings) -> str:
    """Let it run again."""
    resolved = catalog.resolve(name, settings)
    with closing(Ledger(settings)) as ledger:
        was = ledger.control(resolved.ledger_name).paused_reason
        ledger.set_control(resolved.ledger_name, paused_reason="")
    return f"{name} may run again" if was else f"{name} was not paused"


def reset(name: str, settings: Settings, reason: str, *, new_account: bool) -> str:
    """Make the next run send all rows again; with `new_account`, forget what the old account held."""
    resolved = catalog.resolve(name, settings)
    with closing(Ledger(settings)) as ledger, ledger.only_run(resolved.ledger_name):
        if new_account:
            run_id = ledger.start_run(resolved.ledger_name, "reset", mapping_of(resolved))
            forgotten = ledger.forget_state(resolved.ledger_name)
            ledger.set_control(resolved.ledger_name, bound_to="", reset_reason=reason)
            message = f"reset: {reason} (another account; {forgotten:,} rows of the old one are forgotten)"
            ledger.finish_run(resolved.ledger_name, run_id, "succeeded", {}, message, resync_reason=reason)
            return f"{name}: {forgotten:,} rows of the old account are forgotten; the next run sends every row"
        through = ledger.next_number(resolved.ledger_name) - 1
        ledger.set_control(resolved.ledger_name, reset_through=through, reset_reason=reason)
    return f"{name}: the next run sends every row again"


def decide(name: str, settings: Settings, *, arrived: bool) -> int:
    """Say what became of all rows in doubt; returns their number."""
    resolved = catalog.resolve(name, settings)
    with closing(Ledger(settings)) as ledger, ledger.only_run(resolved.ledger_name):
        ledger.close_crashed(resolved.ledger_name)
        ledger.close_decided(resolved.ledger_name)
        run_id = ledger.start_run(resolved.ledger_name, "decided", mapping_of(resolved))
        decided = recover.decide_held(ledger, resolved.ledger_name, run_id, arrived=arrived)
        said = f"a person decided {decided:,} rows in doubt: {'they arrived' if arrived else 'they did not arrive'}"
        ledger.finish_run(resolved.ledger_name, run_id, "succeeded", {}, said)
    return decided


def errors(name: str, settings: Settings) -> list[dict[str, Any]]:
    """Open rows by reason, most frequent first, with the meaning of the vendor's code and what to do."""
    resolved = catalog.resolve(name, settings)
    with closing(Ledger(settings)) as ledger:
        groups = ledger.open_groups(resolved.ledger_name)
    found = []
    for status, code, reason, rows in groups:
        rule = resolved.spec.errors.get(code)
        meaning, help_ = (rule.meaning, rule.help) if rule else _OWN_CODES.get(code, ("unknown", ""))
        found.append(
            {"rows": rows, "status": status, "code": code, "meaning": meaning, "reason": reason, "to_do": help_}
        )
    return found
