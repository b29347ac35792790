"""What a plan reads from `changes` (see diff.py): figures, its id, and the rows to deliver."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reverse_etl.catalog import ResolvedSync
from reverse_etl.query import number_sql

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

# What is sent, in this order: an object must stand before another can be merged into it, and goes last.
SENT = ("create", "update", "append", "merge", "delete")


def counts(con: duckdb.DuckDBPyConnection) -> dict[str, int]:
    """Rows by operation and the figures that limits are judged by."""
    names = [*SENT, "left", "forget", "held", "resend", "reset", "acknowledged_update", "acknowledged_delete"]
    names += ["source", "invalid", "acknowledged", "valid", "due"]
    row = con.execute(
        """
        select
          count(*) filter (operation = 'create'), count(*) filter (operation = 'update'),
          count(*) filter (operation = 'append'), count(*) filter (operation = 'merge'),
          count(*) filter (operation = 'delete'), count(*) filter (operation = 'left'),
          count(*) filter (operation = 'forget'), count(*) filter (operation = 'held'),
          count(*) filter (in_doubt and operation in ('create', 'update', 'append', 'merge', 'delete')),
          count(*) filter (is_reset and operation in ('create', 'update', 'append')),
          count(*) filter (was_acknowledged and operation = 'update'),
          count(*) filter (was_acknowledged and operation in ('delete', 'merge')),
          (select count(*) from source_keys),
          (select coalesce(sum(row_count), 0)::bigint from invalid),
          (select count(*) from known where batch is not null),
          (select count(*) from source_keys) - (select coalesce(sum(row_count), 0)::bigint from invalid),
          count(*) filter (payload_wanted is not null and operation <> 'unchanged')
        from changes
        """
    ).fetchall()[0]
    found = dict(zip(names, map(int, row), strict=True))
    found["unchanged"] = found["valid"] - found.pop("due")
    return found


def plan_id(con: duckdb.DuckDBPyConnection, sync: str) -> str:
    """The same for the same operations with the same payloads, else different."""
    row = con.execute(
        """
        select md5(? || coalesce(string_agg(md5(operation || key || md5(payload)), '' order by key), ''))
        from changes where operation in ('create', 'update', 'append', 'merge', 'delete')
        """,
        [sync],
    ).fetchall()[0]
    return str(row[0])[:12]


def field_changes(con: duckdb.DuckDBPyConnection) -> dict[str, int]:
    """Updates in which each field changes, most frequent first."""
    rows = con.execute(
        """
        select field, count(*) from (select unnest(fields) as field from changes where operation = 'update')
        group by field order by 2 desc, 1
        """
    ).fetchall()
    return dict(rows)


def operations(con: duckdb.DuckDBPyConnection, resolved: ResolvedSync) -> pa.Table:
    """Rows to deliver in order: whole groups together, else writes, merges, deletes; then by key.

    Columns: those of ledger_codec.BATCH_COLUMNS, in_doubt, and what batches are cut by: phase, group_key, kind (a number
    that stands for the operation), size (bytes as sent, and one for the comma between two rows). All rows have a digest, also
    those that are deleted although nobody has acknowledged them.
    """
    from sqlglot import exp

    groups = [exp.Literal.string(f'$."{name}"').sql("duckdb") for name in resolved.object.batch.group_by]
    group_key = (
        f"cast([{', '.join(f'json_extract(payload, {path})' for path in groups)}] as varchar)" if groups else "''"
    )
    whole = bool(groups) or resolved.object.delivery == "snapshot"
    kept = (*SENT, "unchanged", "forget") if resolved.object.delivery == "snapshot" else (*SENT, "forget")
    listed = ", ".join(f"'{operation}'" for operation in kept)
    # In `delete` mode the state remembers what was deleted, as others remember what was written.
    deleted = "set" if resolved.sync.mode == "delete" else "unset"
    return con.sql(
        f"""
        select
          key, operation,
          case operation when 'delete' then '{deleted}' when 'merge' then 'unset' when 'forget' then 'unset'
            when 'unchanged' then 'none' else 'set' end as effect,
          payload, coalesce(digest, {number_sql("key || payload")}) as digest, wire, into_payload as "into", person, cast(null as varchar) as consent_record,
          in_doubt,
          case {"when true then 0" if whole else ""} when operation = 'merge' then 1
            when operation in ('delete', 'forget') then 2 else 0 end as phase,
          {group_key} as group_key,
          list_position([{listed}], operation) as kind,
          strlen(coalesce(wire, payload)) + 1 as size
        from changes where operation in ({listed})
        order by phase, group_key, key
        """
    ).to_arrow_table()
