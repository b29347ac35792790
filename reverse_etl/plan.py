"""Plan: compare what the source wants with what the destination has acknowledged. One set-based pass in DuckDB."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cdp.settings import Settings
from cdp.warehouse import reading
from reverse_etl import changes, diff, masking
from reverse_etl.catalog import ResolvedSync
from reverse_etl.changes import SENT
from reverse_etl.limits import violations_of

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

    from reverse_etl.ledger import Ledger

_EXAMPLES = 3
# Where a field map keeps what is no field.
_KEY = "(key)"


@dataclass(frozen=True)
class Example:
    """One row of the plan with personal data hidden: field -> (before, after)."""

    operation: str
    key: str
    fields: dict[str, tuple[str, str]]


@dataclass(frozen=True)
class Plan:
    """What a run would do. `operations` holds the rows to deliver in order, `invalid` those kept back."""

    resolved: ResolvedSync
    plan_id: str
    counts: dict[str, int]
    field_changes: dict[str, int]
    invalid_reasons: dict[str, int]
    examples: tuple[Example, ...]
    # Why acknowledged rows are sent again, if any are.
    resync_reason: str
    violations: tuple[str, ...]
    # Calls and, where the destination says what it counts, units of cost; estimates, as groups and bytes also decide.
    calls: int
    cost: tuple[int, str] | None
    operations: pa.Table
    invalid: pa.Table

    @property
    def is_empty(self) -> bool:
        """Nothing to send."""
        return not any(self.counts[operation] for operation in SENT)

    def to_dict(self) -> dict[str, Any]:
        """For `--json` and plan files; no personal data."""
        sync = self.resolved.sync
        return {
            "sync": self.resolved.ledger_name,
            "source": self.resolved.source.model,
            "destination": self.resolved.settings_name,
            "object": sync.object,
            "mode": sync.mode,
            "plan_id": self.plan_id,
            "counts": self.counts,
            "calls": self.calls,
            "cost": {"units": self.cost[0], "unit": self.cost[1]} if self.cost else None,
            "field_changes": self.field_changes,
            "invalid_reasons": self.invalid_reasons,
            "resync_reason": self.resync_reason,
            "violations": list(self.violations),
            "examples": [
                {"operation": e.operation, "key": e.key, "fields": {f: list(v) for f, v in e.fields.items()}}
                for e in self.examples
            ],
        }

    def render(self) -> str:
        """The plan as text for people."""
        sync, count = self.resolved.sync, self.counts
        lines = [
            f"{self.resolved.ledger_name}: {self.resolved.source.model} -> {self.resolved.settings_name}.{sync.object}"
            f" ({sync.mode})  plan {self.plan_id}",
            f"  + {count['create'] + count['append']:,} to {'append' if sync.mode == 'append' else 'create'}"
            f"   ~ {count['update']:,} to update   - {count['delete']:,} to delete"
            f"   = {count['unchanged']:,} unchanged   ! {count['invalid']:,} invalid",
        ]
        if count["merge"]:
            lines.append(f"  {count['merge']:,} to merge into another, because their persons were merged")
        if self.calls:
            cost = f", {self.cost[0]:,} {self.cost[1]}" if self.cost else ""
            lines.append(f"  about {self.calls:,} call{'s' if self.calls != 1 else ''}{cost}")
        if count["resend"]:
            lines.append(f"  {count['resend']:,} of them again, because an earlier send has no known outcome")
        if count["held"]:
            lines.append(
                f"  {count['held']:,} are held: it is not known whether they arrived; `cdp sync errors {sync.name}`"
            )
        if count["left"]:
            lines.append(
                f"  {count['left']:,} are no longer in the source and stay at the destination (mode: {sync.mode})"
            )
        if self.resync_reason:
            lines.append(f"  {self.resync_reason}")
        if self.field_changes:
            changes = ", ".join(f"{field} ({n:,})" for field, n in self.field_changes.items())
            lines.append(f"  fields that change: {changes}")
        lines.extend(f"  invalid: {reason} ({n:,})" for reason, n in self.invalid_reasons.items())
        for example in self.examples:
            sign = {"update": "~", "delete": "-", "merge": ">"}.get(example.operation, "+")
            pairs = ", ".join(
                f"{field}: {before} -> {after}" if example.operation == "update" else f"{field}: {after or before}"
                for field, (before, after) in example.fields.items()
            )
            lines.append(f"  {sign} {example.key}  {pairs}")
        lines.extend(f"  STOP: {violation}" for violation in self.violations)
        return "\n".join(lines)


def make_plan(resolved: ResolvedSync, ledger: Ledger, settings: Settings, *, only: Sequence[str] | None = None) -> Plan:
    """Plan one sync against the live warehouse. Raises ConfigurationError when the source is not built.

    `only`: no other keys than these (a retry).
    """
    sync = resolved.sync
    before = ledger.last_mapping(resolved.ledger_name)
    with _source(resolved, settings) as con:
        control = ledger.control(resolved.ledger_name)
        ledger.load_known(con, resolved.ledger_name)
        diff.desire(con, resolved)
        diff.compare(
            con,
            resolved,
            reset_through=int(control.reset_through),
            hold_doubts=resolved.in_doubt != "resend",
            is_rekeyed=before is not None and before.get(_KEY) != mapping_of(resolved)[_KEY],
            only=only,
        )
        ledger.load_payloads(con, resolved.ledger_name, "compared")
        diff.detail(con, resolved)
        diff.merge(con, resolved)
        counts = changes.counts(con)
        field_changes = changes.field_changes(con)
        calls, cost = _estimate(counts, resolved)
        return Plan(
            resolved=resolved,
            plan_id=changes.plan_id(con, resolved.ledger_name),
            counts=counts,
            field_changes=field_changes,
            invalid_reasons=dict(
                con.execute(
                    "select reason, sum(row_count)::bigint from invalid group by reason order by 2 desc, 1"
                ).fetchall()
            ),
            examples=tuple(_examples(con, resolved)),
            resync_reason=_resync_reason(before, control, counts, resolved),
            violations=tuple(violations_of(counts, sync)),
            calls=calls,
            cost=cost,
            operations=changes.operations(con, resolved),
            invalid=con.sql("select key, reason, row_count from invalid order by key, reason").to_arrow_table(),
        )


@contextmanager
def _source(resolved: ResolvedSync, settings: Settings) -> Iterator[duckdb.DuckDBPyConnection]:
    """The warehouse; where files are the source and there is none, an empty database."""
    if resolved.source.files is None or settings.warehouse_path.exists():
        with reading(settings, live=True) as con:
            yield con
        return
    import duckdb

    with duckdb.connect(config={"threads": settings.threads, "memory_limit": settings.memory_limit}) as con:
        yield con


def mapping_of(resolved: ResolvedSync) -> dict[str, str]:
    """Destination field -> a text that changes when the field's mapping does; and the key."""
    fields = {field.name: field.map.model_dump_json() + (field.rule.normalise or "") for field in resolved.fields}
    return {**fields, _KEY: ",".join(resolved.sync.key)}


def _estimate(counts: dict[str, int], resolved: ResolvedSync) -> tuple[int, tuple[int, str] | None]:
    written = counts["create"] + counts["update"] + counts["append"]
    limit = resolved.object.batch.rows
    if resolved.object.delivery == "snapshot":
        calls = int(any(counts[operation] for operation in SENT))
    else:
        calls = sum(math.ceil(n / limit) for n in (written, counts["merge"], counts["delete"]))
    cost = resolved.object.cost
    if cost is None:
        return calls, None
    units = {"call": calls, "row": written, "field": written * len(resolved.fields)}[cost.per]
    return calls, (units, cost.unit)


def _examples(con: duckdb.DuckDBPyConnection, resolved: ResolvedSync) -> list[Example]:
    rules = {field.name: field.rule for field in resolved.fields}
    rows = con.execute(
        """
        select operation, key, payload_before, payload, fields
        from changes
        where operation in ('create', 'update', 'append', 'merge', 'delete')
        qualify row_number() over (partition by operation order by key) <= ?
        order by operation, key
        """,
        [_EXAMPLES],
    ).fetchall()
    examples = []
    for operation, key, before_json, after_json, changed in rows:
        before, after = json.loads(before_json or "{}"), json.loads(after_json or "{}")
        names: Sequence[str] = changed if operation == "update" else list(after)
        pairs = {
            name: (
                masking.shown(before.get(name), rules[name]) if operation not in ("create", "append") else "",
                masking.shown(after.get(name), rules[name]) if operation not in ("delete", "merge") else "",
            )
            for name in names
            if name in rules
        }
        examples.append(Example(operation, masking.key_mark(key), pairs))
    return examples


def _resync_reason(before: dict[str, str] | None, control: Any, counts: dict[str, int], resolved: ResolvedSync) -> str:
    """Why rows that were acknowledged go out again although the source did not change them."""
    reasons = []
    if counts["reset"]:
        reasons.append(f"{counts['reset']:,} rows are sent again after a reset: {control.reset_reason}")
    now = mapping_of(resolved)
    if before is not None and before != now:
        added, removed = sorted(now.keys() - before.keys()), sorted(before.keys() - now.keys())
        altered = sorted(name for name in now.keys() & before.keys() if now[name] != before[name])
        parts = [
            f"{label} {', '.join(names)}"
            for label, names in (("added", added), ("removed", removed), ("changed", altered))
            if names
        ]
        reasons.append(f"the field map changed since the last run ({'; '.join(parts)}), so rows may be sent again")
    return "; ".join(reasons)
