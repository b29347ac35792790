"""Plan: compare what the source wants with what the destination has acknowledged. One set-based pass in DuckDB."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cdp.settings import Settings
from cdp.warehouse import reading
from reverse_etl import diff, masking
from reverse_etl.catalog import ResolvedSync
from reverse_etl.diff import OPERATIONS
from reverse_etl.limits import violations_of

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

    from reverse_etl.ledger import Ledger

_EXAMPLES = 3


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
    mapping_note: str
    violations: tuple[str, ...]
    operations: pa.Table
    invalid: pa.Table

    @property
    def is_empty(self) -> bool:
        """Nothing to send."""
        return not any(self.counts[operation] for operation in OPERATIONS)

    def to_dict(self) -> dict[str, Any]:
        """For `--json`; no personal data."""
        sync = self.resolved.sync
        return {
            "sync": sync.name,
            "source": sync.source,
            "destination": sync.destination,
            "object": sync.object,
            "mode": sync.mode,
            "plan_id": self.plan_id,
            "counts": self.counts,
            "field_changes": self.field_changes,
            "invalid_reasons": self.invalid_reasons,
            "mapping_note": self.mapping_note,
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
            f"{sync.name}: {sync.source} -> {sync.destination}.{sync.object} ({sync.mode})  plan {self.plan_id}",
            f"  + {count['create']:,} to create   ~ {count['update']:,} to update   - {count['delete']:,} to delete"
            f"   = {count['unchanged']:,} unchanged   ! {count['invalid']:,} invalid",
        ]
        if count["resend"]:
            lines.append(f"  {count['resend']:,} of them again, because an earlier send has no known outcome")
        if count["left"]:
            lines.append(f"  {count['left']:,} are no longer in the source and stay at the destination (mode: upsert)")
        if self.mapping_note:
            lines.append(f"  {self.mapping_note}")
        if self.field_changes:
            changes = ", ".join(f"{field} ({n:,})" for field, n in self.field_changes.items())
            lines.append(f"  fields that change: {changes}")
        lines.extend(f"  invalid: {reason} ({n:,})" for reason, n in self.invalid_reasons.items())
        for example in self.examples:
            sign = {"create": "+", "update": "~", "delete": "-"}[example.operation]
            pairs = ", ".join(
                f"{field}: {before} -> {after}" if example.operation == "update" else f"{field}: {after or before}"
                for field, (before, after) in example.fields.items()
            )
            lines.append(f"  {sign} {example.key}  {pairs}")
        lines.extend(f"  STOP: {violation}" for violation in self.violations)
        return "\n".join(lines)


def make_plan(resolved: ResolvedSync, ledger: Ledger, settings: Settings) -> Plan:
    """Plan one sync against the live warehouse. Raises ConfigurationError when the source is not built."""
    sync = resolved.sync
    with reading(settings, live=True) as con:
        diff.desire(con, resolved)
        con.register("known_rows", ledger.known_rows(sync.name))
        diff.compare(con, resolved)
        counts = diff.counts(con)
        return Plan(
            resolved=resolved,
            plan_id=diff.plan_id(con, sync.name),
            counts=counts,
            field_changes=diff.field_changes(con, resolved),
            invalid_reasons=dict(
                con.execute(
                    "select reason, sum(row_count)::bigint from invalid group by reason order by 2 desc, 1"
                ).fetchall()
            ),
            examples=tuple(_examples(con, resolved)),
            mapping_note=_mapping_note(ledger.last_mapping(sync.name), resolved),
            violations=tuple(violations_of(counts, sync)),
            operations=diff.operations(con, resolved),
            invalid=con.sql("select key, reason, row_count from invalid order by key, reason").to_arrow_table(),
        )


def mapping_of(resolved: ResolvedSync) -> dict[str, str]:
    """Destination field -> a text that changes when the field's mapping does."""
    return {field.name: field.map.model_dump_json() for field in resolved.fields}


def _examples(con: duckdb.DuckDBPyConnection, resolved: ResolvedSync) -> list[Example]:
    rules = {field.name: field.rule for field in resolved.fields}
    rows = con.execute(
        """
        select changes.operation, changes.key, changes.payload_before, changes.payload, updates.fields
        from changes left join updates using (key)
        where changes.operation in ('create', 'update', 'delete')
        qualify row_number() over (partition by changes.operation order by changes.key) <= ?
        order by changes.operation, changes.key
        """,
        [_EXAMPLES],
    ).fetchall()
    examples = []
    for operation, key, before_json, after_json, changed in rows:
        before, after = json.loads(before_json or "{}"), json.loads(after_json or "{}")
        names: Sequence[str] = changed if operation == "update" else list(after)
        pairs = {
            name: (
                masking.shown(before.get(name), rules[name]) if operation != "create" else "",
                masking.shown(after.get(name), rules[name]) if operation != "delete" else "",
            )
            for name in names
            if name in rules
        }
        examples.append(Example(operation, masking.key_mark(key), pairs))
    return examples


def _mapping_note(before: dict[str, str] | None, resolved: ResolvedSync) -> str:
    now = mapping_of(resolved)
    if before is None or before == now:
        return ""
    added, removed = sorted(now.keys() - before.keys()), sorted(before.keys() - now.keys())
    altered = sorted(name for name in now.keys() & before.keys() if now[name] != before[name])
    parts = [
        f"{label} {', '.join(names)}"
        for label, names in (("added", added), ("removed", removed), ("changed", altered))
        if names
    ]
    return f"the field map changed since the last run ({'; '.join(parts)}), so rows may be sent again"
