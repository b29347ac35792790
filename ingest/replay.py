"""Lands rows after all that could not be read: once each, in the place where they stood, with a number of their own.

That a row is done with is landed in the same load as the row itself, so a replay can be killed and repeated.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from cdp.errors import DeclarationError
from cdp.settings import Settings
from cdp.sources import Source, Table, one_source, raw_table
from ingest.csv_rows import Rows, add_rows, csv_relation, header_of
from ingest.json_rows import Lines, json_relation
from ingest.landing import Lander
from ingest.pieces import TOO_LONG, Unreadable
from ingest.pipeline import load, run_source
from ingest.quarantine import Quarantined, all_keys, open_rows
from ingest.tracking_plan.blocked import is_blocked_key, still_blocked
from ingest.typing import Rejected, Relation

REPLAYED = "replayed"
RELEASED = "released"  # the plan as it stands now lets the event through: staging takes it from raw in the next run
DISCARDED = "discarded"


@dataclass(frozen=True)
class Replayed:
    """What came of a replay, in rows. `unreadable`: (row, why) of those that stay open; `closed` were done with before."""

    replayed: int = 0
    discarded: int = 0
    closed: int = 0
    unreadable: tuple[tuple[Quarantined, str], ...] = ()


def replay(
    settings: Settings, *, corrections: dict[str, str | None] | None = None, source: str | None = None
) -> Replayed:
    """Land open rows after all: with corrected texts, or as they are (after a declaration was corrected).

    Hold `writer_lock`. Rows that still cannot be read stay open. A correction of a row that is done with is passed over;
    one whose key was never set aside is a DeclarationError, before anything lands.
    """
    chosen, closed = open_rows(settings, source), 0
    if corrections is not None:
        known = all_keys(settings)
        for key in corrections:
            if key not in known:
                raise DeclarationError(f'no row was set aside under "{key}"', fix="export again")
        chosen = [row for row in chosen if row.quarantine_key in corrections]
        closed = len(corrections) - len(chosen) if source is None else 0
    texts = corrections or {}
    # of these only the beginning is there: as they are they may look like rows
    partial = [r for r in chosen if r.reason == TOO_LONG and texts.get(r.quarantine_key, r.original) == r.original]
    # place and header are taken from the warehouse: only the text is the user's
    chosen = [replace(r, original=texts.get(r.quarantine_key, r.original)) for r in chosen if r not in partial]
    total = Replayed(closed=closed, unreadable=tuple((row, row.reason) for row in partial))
    for name in sorted({row.source for row in chosen}):
        rows = [row for row in chosen if row.source == name]
        total = _sum(total, _replay_source(one_source(name, settings).value, settings, rows, corrections is not None))
    return total


def _replay_source(source: Source, settings: Settings, rows: list[Quarantined], corrected: bool) -> Replayed:
    gone = [(row, "the source has no such table any more") for row in rows if row.table_name not in source.tables]
    discarded = [row.quarantine_key for row in rows if row.original is None]
    files = [row for row in rows if row.position == 0 and row.original is not None and row.table_name in source.tables]
    single = [row for row in rows if row.position != 0 and row.original is not None and row.table_name in source.tables]
    failed: list[tuple[Quarantined, str]] = list(gone)
    single, blocked, released = _through_plan(settings, single, corrected)
    failed += blocked
    landed: list[str] = list(released)

    def resources(dlt: Any, lander: Lander) -> list[Any]:
        def rows_of(table_name: str) -> Iterator[Any]:
            own = [row for row in single if row.table_name == table_name]
            for batch, relation, unreadable in _relations(lander, source, table_name, own):
                typed = lander.type(table_name, relation) if relation else None
                reasons = {r.position: r.reason for r in [*unreadable, *(typed.rejected if typed else [])]}
                for number, row in enumerate(batch, 1):
                    if number in reasons:
                        failed.append((row, reasons[number]))
                    else:
                        landed.append(row.quarantine_key)
                        lander.outcomes[row.quarantine_key] = REPLAYED
                if typed and typed.rows.num_rows:
                    places = dict(enumerate(batch, 1))
                    lander.landed[table_name] += typed.rows.num_rows
                    yield dlt.mark.with_table_name(_placed(typed.rows, places), raw_table(source.name, table_name))

        lander.outcomes |= dict.fromkeys(discarded, DISCARDED) | dict.fromkeys(released, RELEASED)
        return [
            dlt.resource(rows_of, name=raw_table(source.name, name), write_disposition="append")(name)
            for name in source.tables
        ]

    if single or discarded or released:
        load(source, settings, resources)
    reread = _read_again(source, settings, files, corrected)
    return Replayed(len(landed) + reread[0], len(discarded), 0, (*failed, *reread[1]))


def _through_plan(
    settings: Settings, rows: list[Quarantined], corrected: bool
) -> tuple[list[Quarantined], list[tuple[Quarantined, str]], list[str]]:
    """(rows to land, rows that the tracking plan still blocks, keys of those that it no longer blocks as they are)."""
    why = still_blocked(settings)
    blocked = [(row, reason) for row in rows if (reason := why(row.source, row.table_name, row.original or ""))]
    stay = {row.quarantine_key for row, _ in blocked}
    passing = [row for row in rows if row.quarantine_key not in stay]
    released = [row.quarantine_key for row in passing if not corrected and is_blocked_key(row.quarantine_key)]
    return [row for row in passing if row.quarantine_key not in released], blocked, released


def _read_again(
    source: Source, settings: Settings, files: list[Quarantined], corrected: bool
) -> tuple[int, list[tuple[Quarantined, str]]]:
    """Try whole files again; how many could be read, and those that could not."""
    if not files:
        return 0, []
    if corrected:
        return 0, [(row, "a whole file: mend the file itself, the next run reads it") for row in files]
    forget: dict[str, list[str]] = {}
    for row in files:
        forget.setdefault(row.table_name, []).append(row.origin)
    run_source(source, settings, forget=forget)
    still = {row.quarantine_key: row for row in open_rows(settings, source.name)}
    failed = [(row, still[row.quarantine_key].reason) for row in files if row.quarantine_key in still]
    return len(files) - len(failed), failed


def _relations(
    lander: Lander, source: Source, table_name: str, rows: list[Quarantined]
) -> Iterator[tuple[list[Quarantined], Relation | None, list[Rejected]]]:
    """The rows as relations whose positions count from 1 in the list given with them."""
    table = source.tables[table_name]
    plain = [row for row in rows if row.header is None]
    if plain:
        texts = pa.array([_as_written(row, table).replace("\n", " ") for row in plain], pa.large_string())
        lines = Lines("", pa.array(range(1, len(plain) + 1), pa.int64()), texts)
        relation, unreadable = json_relation(lander.con, [lines], table, set(lander.known(table_name)))
        blank = [Rejected("", n, "is empty", "") for n, row in enumerate(plain, 1) if not (row.original or "").strip()]
        yield plain, relation, unreadable + blank
    for header in dict.fromkeys(row.header for row in rows if row.header is not None):
        own = [row for row in rows if row.header == header]
        yield own, *_csv_relation(lander, table, header, own)


def _csv_relation(
    lander: Lander, table: Table, header: str, rows: list[Quarantined]
) -> tuple[Relation | None, list[Rejected]]:
    try:
        found = Rows(header_of(header, table))
    except Unreadable as error:
        return None, [Rejected("", number, str(error), "") for number in range(1, len(rows) + 1)]
    for number, row in enumerate(rows, 1):
        one = Rows(found.header)
        add_rows(one, _as_written(row, table).encode(), "utf-8", "", number, is_last=True)
        if len(one.values) == 1 and not one.rejected:
            found.values += one.values
            found.origins.append("")
            found.positions.append(number)
            found.texts += one.texts
        else:
            reason = one.rejected[0].reason if one.rejected else f"is {len(one.values)} rows, not one"
            found.rejected.append(Rejected("", number, reason, ""))
    return csv_relation(lander.con, found) if found.values else None, found.rejected


_NOT_ENCODED = re.compile(r"is not ([a-z0-9_-]+)")


def _as_written(row: Quarantined, table: Table) -> str:
    """The text; of a row that was not of the declared encoding, read in the encoding that is declared now."""
    text = row.original or ""
    wrong = _NOT_ENCODED.fullmatch(row.reason)
    if wrong is None or wrong[1] == table.encoding:
        return text
    parts = re.split(r"\\x([0-9a-f]{2})", text)  # bytes stand at the odd places
    data = b"".join(bytes.fromhex(p) if n % 2 else p.encode(wrong[1]) for n, p in enumerate(parts))
    return data.decode(table.encoding, errors="backslashreplace")


def _placed(rows: pa.Table, places: dict[int, Quarantined]) -> pa.Table:
    """The rows with the place they were first read at."""
    numbers = rows.column("_cdp_row").to_pylist()
    origins = pa.array([places[n].origin for n in numbers], pa.string())
    positions = pa.array([places[n].position for n in numbers], pa.int64())
    rows = rows.set_column(rows.schema.get_field_index("_cdp_origin"), "_cdp_origin", origins)
    return rows.set_column(rows.schema.get_field_index("_cdp_row"), "_cdp_row", positions)


def _sum(left: Replayed, right: Replayed) -> Replayed:
    return Replayed(
        left.replayed + right.replayed,
        left.discarded + right.discarded,
        left.closed + right.closed,
        left.unreadable + right.unreadable,
    )
