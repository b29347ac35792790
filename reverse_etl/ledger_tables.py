"""Tables of the ledger. SQLite by default; nothing here is special to it."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, DateTime, Index, Integer, MetaData, Table, Text

metadata = MetaData()

# One row a run of a sync.
run = Table(
    "sync_run",
    metadata,
    Column("run_id", Text, primary_key=True),
    Column("sync", Text, primary_key=True),
    Column("number", Integer, nullable=False),
    Column("as_of", Text, nullable=False),
    # running | succeeded | failed (rows failed, or the run broke off) | blocked (blast radius) | crashed
    Column("status", Text, nullable=False),
    Column("message", Text, nullable=False, default=""),
    Column("counts", Text, nullable=False, default="{}"),
    Column("mapping", Text, nullable=False, default="{}"),
    Column("started_at", DateTime, nullable=False),
    Column("finished_at", DateTime),
)

# What the destination has acknowledged: the "before" of the next plan.
state = Table(
    "sync_state",
    metadata,
    Column("sync", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("payload_hash", Text, nullable=False),
    Column("payload", Text, nullable=False),
    Column("run_id", Text, nullable=False),
    Column("acked_at", DateTime, nullable=False),
)

# Written before a row is sent, removed when its outcome is known. What is left here after a crash or a timeout may or
# may not have happened; the next plan sends it again.
intent = Table(
    "sync_intent",
    metadata,
    Column("sync", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("operation", Text, nullable=False),
    Column("payload_hash", Text, nullable=False),
    Column("payload", Text, nullable=False),
    Column("run_id", Text, nullable=False),
)

# Rows whose last outcome was not an acknowledgement; gone as soon as it is one, or the row is no longer wanted.
failure = Table(
    "sync_failure",
    metadata,
    Column("sync", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("operation", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("first_run_id", Text, nullable=False),
    Column("last_run_id", Text, nullable=False),
    Column("in_doubt", Boolean, nullable=False, default=False),
)

# Outcomes that are not yet in the delivery log; the log's file of a run is written from here, whole.
outbox = Table(
    "sync_outbox",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("sync", Text, nullable=False),
    Column("run_id", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("operation", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("payload_hash", Text, nullable=False),
    Column("delivered_at", DateTime, nullable=False),
    Index("sync_outbox_run", "sync", "run_id"),
)
