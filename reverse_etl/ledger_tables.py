"""Tables of the ledger. SQLite by default, Postgres when set; nothing here is special to either.

What was sent is kept batch by batch: a batch is written down before it is sent and its outcomes after. The rows of batches
that are written down together are packed together (`ledger_codec`): a row for each of them would cost more than the sending
itself, and packed batch by batch they would cost ten times as much.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, DateTime, Float, Index, Integer, LargeBinary, MetaData, Table, Text

VERSION = "4"
# SQLite's application_id, so that a file of another program is known at once. "CDPl".
APPLICATION_ID = 0x4344506C

metadata = MetaData()

# What this database is: format, version.
meta = Table("ledger_meta", metadata, Column("name", Text, primary_key=True), Column("value", Text, nullable=False))

# What a person has decided about a sync, and what its acknowledged state belongs to.
control = Table(
    "sync_control",
    metadata,
    Column("sync", Text, primary_key=True),
    Column("paused_reason", Text, nullable=False, default=""),
    # Mark of the account that acknowledged the state; another account's rows are unknown to us.
    Column("bound_to", Text, nullable=False, default=""),
    # Rows acknowledged up to this batch are sent again, for this reason.
    Column("reset_through", BigInteger, nullable=False, default=-1),
    Column("reset_reason", Text, nullable=False, default=""),
    # Base of the state: all settled batches up to this one are folded into sync_state_part.
    Column("folded_through", BigInteger, nullable=False, default=0),
    Column("folded_rows", BigInteger, nullable=False, default=0),
)

# One row a run of a sync.
run = Table(
    "sync_run",
    metadata,
    Column("sync", Text, primary_key=True),
    Column("run_id", Text, primary_key=True),
    Column("number", Integer, nullable=False),
    Column("as_of", Text, nullable=False),
    # running -> succeeded | failed (rows failed, or it broke off) | stopped (limits, moved plan) | crashed
    Column("status", Text, nullable=False),
    Column("message", Text, nullable=False, default=""),
    Column("plan_id", Text, nullable=False, default=""),
    # Why acknowledged rows were sent again, if any were.
    Column("resync_reason", Text, nullable=False, default=""),
    Column("counts", Text, nullable=False, default="{}"),
    Column("mapping", Text, nullable=False, default="{}"),
    Column("started_at", DateTime, nullable=False),
    Column("finished_at", DateTime),
    Column("seconds", Float),
    Column("is_logged", Boolean, nullable=False, default=False),
)

# One row a batch. intended -> settled | in_doubt; in_doubt -> settled, when something later has decided its rows.
# Batches that are never sent (invalid, suppressed, held rows) are written as settled.
batch = Table(
    "sync_batch",
    metadata,
    Column("sync", Text, primary_key=True),
    Column("number", BigInteger, primary_key=True),
    Column("run_id", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("row_count", Integer, nullable=False),
    # The same when the same rows are sent again after a crash.
    Column("idempotency_key", Text, nullable=False, default=""),
    # Its rows: `row_count` from `start` on of those packed under the number `packed`. Never changed.
    Column("packed", BigInteger, nullable=False),
    Column("start", Integer, nullable=False),
    # What became of them; null before the first answer.
    Column("outcomes", Text),
    Column("intended_at", DateTime, nullable=False),
    Column("settled_at", DateTime),
    Index("sync_batch_run", "sync", "run_id"),
    Index("sync_batch_status", "sync", "status"),
)

# Rows of the batches that were written down in one step, under the number of the first of them.
content = Table(
    "sync_content",
    metadata,
    Column("sync", Text, primary_key=True),
    Column("number", BigInteger, primary_key=True),
    Column("rows", LargeBinary, nullable=False),
)

# Acknowledged state up to control.folded_through, in parts: what every plan compares (key, digest, batch), and what it needs of
# the rows that differ (payload, person), row by row in the same order.
state_part = Table(
    "sync_state_part",
    metadata,
    Column("sync", Text, primary_key=True),
    Column("part", Integer, primary_key=True),
    Column("row_count", Integer, nullable=False),
    Column("entries", LargeBinary, nullable=False),
    Column("entries_checksum", BigInteger, nullable=False),
    Column("payloads", LargeBinary, nullable=False),
    Column("payloads_checksum", BigInteger, nullable=False),
)

# Rows that are not as they should be: failed, rejected, invalid, suppressed, in_doubt. Gone when they are.
open_row = Table(
    "sync_open_row",
    metadata,
    Column("sync", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("operation", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("code", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("first_run_id", Text, nullable=False),
    Column("last_run_id", Text, nullable=False),
)

# Messages that reached, or may have reached, a person: what frequency caps count, across syncs.
message = Table(
    "sync_message",
    metadata,
    Column("sync", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("batch", BigInteger, primary_key=True),
    Column("person", Text, nullable=False),
    Column("channel", Text, nullable=False),
    Column("sent_at", DateTime, nullable=False),
    Index("sync_message_person", "person", "sent_at"),
)

# Alerts that are raised and not yet recovered.
alert = Table(
    "sync_alert",
    metadata,
    Column("sync", Text, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("run_id", Text, nullable=False),
    Column("detail", Text, nullable=False),
)
