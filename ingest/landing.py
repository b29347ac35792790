"""Turns batches into what is landed: typed rows, quarantined rows, schema changes, all with ingestion numbers."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from typing import Any

import duckdb
import pyarrow as pa

from cdp.settings import Settings
from cdp.sources import Source, raw_table
from cdp.warehouse import open_database
from ingest.landed import INTERNAL, QUARANTINE, QUARANTINE_REPLAY, SCHEMA_CHANGE, Landed
from ingest.sequence import Sequence
from ingest.typing import OVERFLOW, VARIANT, Rejected, Relation, Typed, type_rows
from ingest.values import DUCKDB_TYPES

UNDECLARED = "undeclared column"
NEW = "new column"
CHANGED = "type changed"
TOO_MANY = "too many columns"
COMPLETED = "completed"


class Lander:
    """Lands the batches of one source in one run, and counts. Close it before the load."""

    def __init__(self, source: Source, settings: Settings, sequence: Sequence, landed: Landed) -> None:
        self.source = source
        self.con = duckdb.connect(
            config={
                "threads": settings.threads,
                "memory_limit": settings.memory_limit,
                "preserve_insertion_order": True,
            }
        )
        self.con.execute("set TimeZone = 'UTC'")
        self.landed: Counter[str] = Counter()
        self.quarantined = 0
        self.changes = 0
        self.outcomes: dict[str, str] = {}
        self._settings = settings
        self._sequence = sequence
        self._known = {
            name: {c: t for c, t in landed.columns[raw_table(source.name, name)].items() if c not in INTERNAL}
            for name in source.tables
        }
        self._recorded = set(landed.recorded)
        self._word = {n: NEW if raw_table(source.name, n) in landed.filled else UNDECLARED for n in source.tables}
        self._changes: dict[tuple[str, str, str], dict[str, Any]] = {}
        self._superseded: dict[str, list[tuple[str, int]]] = {}
        self._keys: set[str] = set()
        self._read: Counter[str] = Counter()
        self._told: dict[str, tuple[dict[str, Any], set[str], set[str]]] = {}
        self._warehouse: duckdb.DuckDBPyConnection | None = None

    def known(self, table_name: str) -> dict[str, str]:
        """Columns of a table that were landed, before or in this run, with their DuckDB types."""
        return self._known[table_name]

    def type(self, table_name: str, relation: Relation) -> Typed:
        """Type a batch and number its rows; remembers new columns and values of another type."""
        table = self.source.tables[table_name]
        known = self._known[table_name]
        typed = type_rows(self.con, relation, table, known, self._sequence.take(relation.numbers))
        for name, kind in typed.undeclared.items():
            if (table_name, name) not in self._recorded:
                self._recorded.add((table_name, name))
                word = TOO_MANY if name == OVERFLOW else self._word[table_name]
                self._changes[table_name, name, word] = {"found_type": kind, "known_type": None, "row_count": None}
        known |= typed.undeclared
        for name, count in typed.variants.items():
            type_ = DUCKDB_TYPES[table.columns[name].type] if name in table.columns else known[name]
            change = {"found_type": "VARCHAR", "known_type": type_, "row_count": 0}
            self._changes.setdefault((table_name, name, CHANGED), change)["row_count"] += count
            known[name + VARIANT] = "VARCHAR"
        return typed

    def land(self, dlt: Any, table_name: str, relation: Relation | None, rejected: list[Rejected]) -> Iterator[Any]:
        """Yield what dlt is to load for one batch: its rows, then the quarantined ones, each marked with its table."""
        if relation:
            typed = self.type(table_name, relation)
            rejected = rejected + typed.rejected
            if typed.rows.num_rows:
                self.landed[table_name] += typed.rows.num_rows
                yield dlt.mark.with_table_name(typed.rows, raw_table(self.source.name, table_name))
        yield from self._quarantine(dlt, table_name, rejected)

    def count_on(self, origin: str, count: int) -> int:
        """The position of the first of `count` more rows of an origin that has no lines."""
        self._read[origin] += count
        return self._read[origin] - count + 1

    def remembered(self, table_name: str, state: dict[str, Any]) -> tuple[set[str], set[str]]:
        """Digests of what the last run was told of a table, and the set of what this run is told, which replaces them in
        `state` when the run ends well."""
        if table_name not in self._told:
            self._told[table_name] = (state, set(state.get("digests", [])), set())
        return self._told[table_name][1:]

    def supersede(self, table_name: str, places: list[tuple[str, int]]) -> None:
        """These quarantined places were read a second time: what is not quarantined again is completed."""
        self._superseded.setdefault(table_name, []).extend(places)

    def notes(self, dlt: Any) -> Iterator[Any]:
        """Yield what is known only at the end: schema changes, and quarantined rows that are done with."""
        for state, _, told in self._told.values():
            state["digests"] = sorted(told)
        self._complete()
        changes = [
            {"source": self.source.name, "table_name": table, "column_name": column, "change": word} | facts
            for (table, column, word), facts in self._changes.items()
        ]
        self.changes = len(changes)
        yield from self._numbered(dlt, SCHEMA_CHANGE, changes, _CHANGE_SCHEMA)
        outcomes = [{"quarantine_key": key, "outcome": outcome} for key, outcome in self.outcomes.items()]
        yield from self._numbered(dlt, QUARANTINE_REPLAY, outcomes, _OUTCOME_SCHEMA)

    def close(self) -> None:
        """Let go of the warehouse: dlt opens it for the load."""
        if self._warehouse:
            self._warehouse.close()
            self._warehouse = None
        self.con.close()

    def _quarantine(self, dlt: Any, table_name: str, rejected: list[Rejected]) -> Iterator[Any]:
        """The same row in the same place is quarantined once, however often it is read."""
        by_key = {self.key(table_name, row): row for row in sorted(rejected, key=lambda r: (r.origin, r.position))}
        fresh = [key for key in by_key if key not in self._keys]
        self._keys.update(fresh)
        if fresh:
            found = self.ask(
                f"select quarantine_key from raw.{QUARANTINE} where quarantine_key in (select unnest(?))", [fresh]
            )
            before = {key for (key,) in found}
            fresh = [key for key in fresh if key not in before]
        self.quarantined += len(fresh)
        rows = [
            {
                "quarantine_key": key,
                "source": self.source.name,
                "table_name": table_name,
                "origin": by_key[key].origin,
                "position": by_key[key].position,
                "reason": by_key[key].reason,
                "original": by_key[key].original,
                "header": by_key[key].header,
            }
            for key in fresh
        ]
        yield from self._numbered(dlt, QUARANTINE, rows, _QUARANTINE_SCHEMA)

    def key(self, table_name: str, row: Rejected) -> str:
        """The stable name of a quarantined row: same place and text, same key. Rows of APIs and databases have no place."""
        place = str(row.position) if self.source.kind in ("file_drop", "event_log", "collector") else ""
        text = "\x1f".join([self.source.name, table_name, row.origin, place, row.original])
        return hashlib.sha256(text.encode("utf-8", errors="replace")).hexdigest()[:20]

    def _complete(self) -> None:
        for table_name, places in self._superseded.items():
            if not places:
                continue
            found = self.ask(
                f"select quarantine_key from raw.{QUARANTINE} where source = ? and table_name = ? "
                "and (origin || chr(31) || position) in (select unnest(?)) "
                f"and quarantine_key not in (select quarantine_key from raw.{QUARANTINE_REPLAY}) order by 1",
                [self.source.name, table_name, [f"{origin}\x1f{position}" for origin, position in places]],
            )
            self.outcomes |= {key: COMPLETED for (key,) in found if key not in self._keys}

    def ask(self, query: str, parameters: list[Any]) -> list[tuple[Any, ...]]:
        """Rows of the warehouse as it was before this run."""
        if self._warehouse is None:
            self._warehouse = open_database(self._settings.warehouse_path, read_only=False, settings=self._settings)
        return self._warehouse.execute(query, parameters).fetchall()

    def _numbered(self, dlt: Any, table: str, rows: list[dict[str, Any]], schema: pa.Schema) -> Iterator[Any]:
        if rows:
            first = self._sequence.take(len(rows))
            numbered = [row | {"_cdp_sequence": first + number} for number, row in enumerate(rows)]
            yield dlt.mark.with_table_name(pa.Table.from_pylist(numbered, schema=schema), table)


def _schema(text: list[str], numbers: list[str]) -> pa.Schema:
    fields = [(name, pa.string()) for name in text] + [(name, pa.int64()) for name in [*numbers, "_cdp_sequence"]]
    return pa.schema(fields)


_QUARANTINE_SCHEMA = _schema(
    ["quarantine_key", "source", "table_name", "origin", "reason", "original", "header"], ["position"]
)
_CHANGE_SCHEMA = _schema(["source", "table_name", "column_name", "change", "found_type", "known_type"], ["row_count"])
_OUTCOME_SCHEMA = _schema(["quarantine_key", "outcome"], [])
