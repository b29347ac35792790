"""Turns batches into what is landed: typed rows, quarantined rows, schema changes, all with ingestion numbers."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from typing import Any

import duckdb
import pyarrow as pa

from cdp.settings import Settings
from cdp.sources import Source, Table, raw_table
from cdp.warehouse import writing
from ingest.sequence import Sequence
from ingest.typing import DUCKDB_TYPES, VARIANT, Rejected, type_rows

QUARANTINE = "raw_quarantine"
QUARANTINE_REPLAY = "raw_quarantine_replay"
SCHEMA_CHANGE = "raw_schema_change"

_DLT_TO_DUCKDB = {
    "text": "VARCHAR",
    "bigint": "BIGINT",
    "double": "DOUBLE",
    "bool": "BOOLEAN",
    "timestamp": "TIMESTAMP WITH TIME ZONE",
    "date": "DATE",
    "json": "JSON",
    "decimal": "DOUBLE",
}


class Lander:
    """Lands the batches of one source in one run, and counts."""

    def __init__(self, source: Source, sequence: Sequence) -> None:
        self.source = source
        self.sequence = sequence
        self.con = duckdb.connect(config={"threads": 2, "preserve_insertion_order": True})
        self.con.execute("set TimeZone = 'UTC'")
        self.landed: Counter[str] = Counter()
        self.quarantined = 0
        self.changes = 0
        self._known: dict[str, dict[str, str]] = {}

    def land(
        self, dlt: Any, table_name: str, relation: str, fields: dict[str, str], rejected: list[Rejected]
    ) -> Iterator[Any]:
        """Yield what dlt is to load for one batch: the rows, then the notes, each marked with its table."""
        table = self.source.tables[table_name]
        rejected = list(rejected)
        if relation:
            known = self._known_columns(dlt, table_name, table)
            typed = type_rows(self.con, relation, fields, table, known, self.sequence.take)
            rejected += typed.rejected
            known.update(typed.new_columns)
            if typed.rows.num_rows:
                self.landed[table_name] += typed.rows.num_rows
                yield dlt.mark.with_table_name(typed.rows, raw_table(self.source.name, table_name))
            yield from self._changes(dlt, table_name, table, typed.new_columns, typed.variants, known)
        yield from self._quarantine(dlt, table_name, rejected)

    def replay_outcomes(self, dlt: Any, outcomes: list[tuple[str, str]]) -> Iterator[Any]:
        """Yield rows of the replay log: (quarantine_key, outcome)."""
        if outcomes:
            first = self.sequence.take(len(outcomes))
            rows = pa.table(
                {
                    "quarantine_key": [key for key, _ in outcomes],
                    "outcome": [outcome for _, outcome in outcomes],
                    "_cdp_sequence": pa.array(range(first, first + len(outcomes)), pa.int64()),
                }
            )
            yield dlt.mark.with_table_name(rows, QUARANTINE_REPLAY)

    def completed(self, table_name: str, places: list[tuple[str, int]], settings: Settings) -> list[tuple[str, str]]:
        """Quarantined cut-off lines that the longer file has now completed, as outcomes for `replay_outcomes`."""
        if not places or not settings.warehouse_path.exists():
            return []
        with writing(settings) as con:
            if not con.execute(
                "select 1 from duckdb_tables() where schema_name = 'raw' and table_name = ?", [QUARANTINE]
            ).fetchall():
                return []
            found = con.execute(
                f"select quarantine_key from raw.{QUARANTINE} where source = ? and table_name = ?"
                " and list_contains(?::varchar[], origin || ':' || position) order by 1",
                [self.source.name, table_name, [f"{origin}:{position}" for origin, position in places]],
            ).fetchall()
        return [(key, "completed") for (key,) in found]

    def _known_columns(self, dlt: Any, table_name: str, table: Table) -> dict[str, str]:
        """Undeclared columns landed earlier, with their types (from the schema dlt keeps with the data)."""
        if table_name not in self._known:
            landed = dlt.current.source_schema().tables.get(raw_table(self.source.name, table_name), {})
            self._known[table_name] = {
                name: _DLT_TO_DUCKDB.get(str(column.get("data_type")), "VARCHAR")
                for name, column in landed.get("columns", {}).items()
                if name not in table.columns and not name.startswith(("_dlt", "_cdp")) and not name.endswith(VARIANT)
            }
        return self._known[table_name]

    def _changes(
        self,
        dlt: Any,
        table_name: str,
        table: Table,
        new: dict[str, str],
        variants: dict[str, int],
        known: dict[str, str],
    ) -> Iterator[Any]:
        declared = {n: DUCKDB_TYPES[c.type] for n, c in table.columns.items()}
        found = [(name, "new column", kind, None, None) for name, kind in new.items()]
        found += [
            (name, "type changed", "VARCHAR", declared.get(name, known.get(name)), count)
            for name, count in variants.items()
        ]
        if not found:
            return
        self.changes += len(found)
        first = self.sequence.take(len(found))
        rows = pa.table(
            {
                "source": [self.source.name] * len(found),
                "table_name": [table_name] * len(found),
                "column_name": [f[0] for f in found],
                "change": [f[1] for f in found],
                "found_type": [f[2] for f in found],
                "known_type": pa.array([f[3] for f in found], pa.string()),
                "row_count": pa.array([f[4] for f in found], pa.int64()),
                "_cdp_sequence": pa.array(range(first, first + len(found)), pa.int64()),
            }
        )
        yield dlt.mark.with_table_name(rows, SCHEMA_CHANGE)

    def _quarantine(self, dlt: Any, table_name: str, rejected: list[Rejected]) -> Iterator[Any]:
        if not rejected:
            return
        self.quarantined += len(rejected)
        first = self.sequence.take(len(rejected))
        rows = pa.table(
            {
                "quarantine_key": [quarantine_key(self.source.name, table_name, r) for r in rejected],
                "source": [self.source.name] * len(rejected),
                "table_name": [table_name] * len(rejected),
                "origin": [r.origin for r in rejected],
                "position": pa.array([r.position for r in rejected], pa.int64()),
                "reason": [r.reason for r in rejected],
                "original": [r.original for r in rejected],
                "header": pa.array([r.header for r in rejected], pa.string()),
                "_cdp_sequence": pa.array(range(first, first + len(rejected)), pa.int64()),
            }
        )
        yield dlt.mark.with_table_name(rows, QUARANTINE)


def quarantine_key(source: str, table_name: str, row: Rejected) -> str:
    """The stable name of a quarantined row: same place and text, same key."""
    text = "\x1f".join([source, table_name, row.origin, str(row.position), row.original])
    return hashlib.sha256(text.encode("utf-8", errors="replace")).hexdigest()[:20]
