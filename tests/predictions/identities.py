"""The tables of identity that rows of a past moment are told by, made from records in the plainest way."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import duckdb

TABLES = {
    "conformed.identifier_observation": "record_key bigint, sequence bigint, observed_at timestamp, identifier_key bigint",
    "conformed.event": "sequence bigint, received_at timestamp, occurred_at timestamp",
    "identity.identifier": "identifier_key bigint, is_stitching boolean",
    "identity.identity_person": "identifier_key bigint, person_id varchar",
    "identity.record_identifier": "record_key bigint, identifier_key bigint",
    "identity.record_person": "record_key bigint, sequence bigint, person_id varchar",
    "identity.identity_refusal": "left_key bigint, right_key bigint",
    "identity.identity_edge": "left_key bigint, right_key bigint, tier smallint, sequence bigint",
}


class Record(NamedTuple):
    """A raw row: its sequence, when it says it was, when it arrived (None: then), its identifiers with the strongest first."""

    sequence: int
    observed_at: datetime
    received_at: datetime | None
    keys: tuple[int, ...]

    @property
    def known_at(self) -> datetime:
        """From when on the warehouse could know it."""
        return max(self.observed_at, self.received_at or self.observed_at)


def persons_of(records: Iterable[Record]) -> dict[int, str]:
    """The person of each identifier: all that a chain of records ties; by the least identifier."""
    person = {key: key for record in records for key in record.keys}
    changed = True
    while changed:
        changed = False
        for record in records:
            least = min(person[key] for key in record.keys)
            changed = changed or any(person[key] != least for key in record.keys)
            person |= dict.fromkeys(record.keys, least)
    return {key: f"p{least:03}" for key, least in person.items()}


def tell_apart(con: duckdb.DuckDBPyConnection, records: list[Record]) -> dict[int, str]:
    """Write identity as it is when these records are there; returns the person of each identifier."""
    persons = persons_of(records)
    con.execute("create schema if not exists conformed; create schema if not exists identity")
    for table, columns in TABLES.items():
        con.execute(f"create or replace table {table} ({columns})")
    rows: dict[str, list[tuple[Any, ...]]] = {
        "conformed.identifier_observation": [
            (r.sequence, r.sequence, r.observed_at, k) for r in records for k in r.keys
        ],
        "conformed.event": [(r.sequence, r.received_at, r.observed_at) for r in records],
        "identity.identifier": [(k, True) for k in persons],
        "identity.identity_person": list(persons.items()),
        "identity.record_identifier": [(r.sequence, r.keys[0]) for r in records],
        "identity.record_person": [(r.sequence, r.sequence, persons[r.keys[0]]) for r in records],
    }
    for table, listed in rows.items():
        fill(con, table, listed)
    return persons


def fill(con: duckdb.DuckDBPyConnection, table: str, rows: Sequence[tuple[Any, ...]]) -> None:
    """Insert rows at once: one by one they took most of the time of a test."""
    if rows:
        marks = f"({', '.join('?' * len(rows[0]))})"
        con.execute(f"insert into {table} values {', '.join([marks] * len(rows))}", [v for row in rows for v in row])
