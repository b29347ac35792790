"""Watches a ledger and its endpoint from outside, and says when an invariant of the ledger does not hold (docs/activation.md).

It remembers every batch it has ever seen, and works out the acknowledged state by itself, in Python, from those.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import duckdb
from sqlalchemy import select

from reverse_etl import delivery_log, ledger_batches
from reverse_etl import ledger_codec as codec
from reverse_etl.ledger import Ledger
from reverse_etl.ledger_tables import batch, content, run
from tests.reverse_etl.webhooks import Endpoint

LEGAL = {
    ("intended", "intended"), ("intended", "settled"), ("intended", "in_doubt"),
    ("in_doubt", "in_doubt"), ("in_doubt", "settled"), ("settled", "settled"),
}  # fmt: skip
ENDED = {"succeeded", "failed", "stopped", "crashed"}


class Witness:
    """Sees everything, believes nothing."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        # number -> rows, status, outcomes, idempotency key
        self.batches: dict[int, tuple[list[dict[str, Any]], str, str | None, str]] = {}
        self._runs: dict[int, str] = {}

    def look(self) -> None:
        """Compare what stands there now with what stood there before."""
        with closing(Ledger(self._endpoint.project.settings)) as ledger:
            self._see_batches(ledger)
            self._see_runs(ledger)
            self._see_state(ledger)
        keys = {key for _, _, _, key in self.batches.values() if key}
        called = {name for (name,) in self._endpoint.query("select webhook_id from call")}
        assert {name.split("-")[0] for name in called} <= keys, "sent without having been written down"

    def _see_batches(self, ledger: Ledger) -> None:
        with ledger.engine.connect() as con:
            found = con.execute(select(batch).order_by(batch.c.number)).all()
            tables = [table.slice(row.start, row.row_count) for row, table in ledger_batches.read(con, "rows", found)]
            held = {number for (number,) in con.execute(select(content.c.number))}
        assert [row.number for row in found] == sorted({row.number for row in found})
        assert held == {row.packed for row in found}, "rows are kept as long as a batch has them, and no longer"
        for row, table in zip(found, tables, strict=True):
            rows, before = table.to_pylist(), self.batches.get(row.number)
            if before is None:
                assert row.number > max(self.batches, default=0), "numbers only grow"
            else:
                assert before[0] == rows, "the rows of a batch never change"
                assert before[3] == row.idempotency_key
                assert (before[1], row.status) in LEGAL, f"{before[1]} -> {row.status}"
            outcomes = codec.with_outcomes(table, row.outcomes)["status"].to_pylist()
            assert (row.status == "settled") == ("in_doubt" not in outcomes), "settled means that every row is decided"
            self.batches[row.number] = (rows, row.status, row.outcomes, row.idempotency_key)

    def _see_runs(self, ledger: Ledger) -> None:
        with ledger.engine.connect() as con:
            found = con.execute(select(run.c.number, run.c.status).order_by(run.c.number)).all()
        assert [row.number for row in found] == list(range(1, 1 + len(found)))
        for row in found:
            before = self._runs.get(row.number, "running")
            assert before == row.status or (before == "running" and row.status in ENDED), f"{before} -> {row.status}"
        assert [row.status for row in found[:-1] if row.status == "running"] == [], "one run at a time"
        self._runs = {row.number: row.status for row in found}

    def rows(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Number of the batch and row with its outcome, in the order of the batches."""
        for number, (rows, _, text, _) in sorted(self.batches.items()):
            others, single = codec.unpack_outcomes(text)
            for position, row in enumerate(rows):
                yield number, {**row, "status": single.get(position, others).status}

    def acknowledged(self) -> dict[str, str]:
        """Key -> payload that the newest success has put there."""
        state: dict[str, str] = {}
        for _, row in self.rows():
            if row["status"] == "succeeded" and row["effect"] == "set":
                state[row["key"]] = row["payload"]
            elif row["status"] == "succeeded" and row["effect"] == "unset":
                state.pop(row["key"], None)
        return state

    def doubtful(self) -> set[str]:
        """Keys with a doubt that no later success has decided."""
        found: dict[str, bool] = {}
        for _, row in self.rows():
            if row["status"] == "in_doubt":
                found[row["key"]] = True
            elif row["status"] == "succeeded" and row["effect"] != "none":
                found[row["key"]] = False
        return {key for key, is_open in found.items() if is_open}

    def _see_state(self, ledger: Ledger) -> None:
        """What the engine reads as a view must be what follows from the batches."""
        with duckdb.connect(config={"threads": 1}) as con:
            ledger.load_known(con, "rows")
            ledger.load_payloads(con, "rows", "held")
            known = con.execute(
                "select known.key, held_payload.payload, known.in_doubt from known left join held_payload using (key)"
            ).fetchall()
        assert {key: payload for key, payload, _ in known if payload is not None} == self.acknowledged()
        assert {key for key, _, in_doubt in known if in_doubt} == self.doubtful()

    def check_endpoint(self) -> None:
        """Where nothing is in doubt, the destination holds what was acknowledged."""
        held = dict(self._endpoint.query("select key, fields from held"))
        doubtful = self.doubtful()
        for key, payload in self.acknowledged().items():
            if key not in doubtful:
                wanted = {name: value for name, value in json.loads(payload).items() if value is not None}
                there = {name: value for name, value in json.loads(held[key]).items() if name in wanted}
                assert there == wanted, key

    def check_logs(self) -> None:
        """Each row of each batch is in the delivery log, once for each run that had it."""
        folder = delivery_log.folder(self._endpoint.project.settings) / "rows"
        lines = sum(len(path.read_text().splitlines()) for path in folder.glob("*.jsonl"))
        assert lines == sum(row["operation"] not in ("forget", "unchanged") for _, row in self.rows())
