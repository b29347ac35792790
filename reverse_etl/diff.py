"""The set-based comparison behind a plan, as temporary tables of one DuckDB connection.

source_rows -> judged (one row a key, with the reason if it is invalid) -> changes (one row a key, with its operation)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

from cdp.errors import ConfigurationError
from reverse_etl.catalog import ResolvedSync
from reverse_etl.query import desired_sql, field_changed_sql

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

OPERATIONS = ("create", "update", "delete")


def desire(con: duckdb.DuckDBPyConnection, resolved: ResolvedSync) -> None:
    """Read the source as the destination shall see it. Raises ConfigurationError when it is not built."""
    import duckdb

    schema, model = resolved.relation
    try:
        con.execute(f"create temp table source_rows as {desired_sql(resolved)}")
    except (duckdb.CatalogException, duckdb.BinderException) as error:
        raise ConfigurationError(
            f"the source cannot be read: {str(error).splitlines()[0]}",
            where=f"{schema}.{model}",
            expected="the table or view with the columns of its contract",
            fix=f"run `dbt build --select {model}`",
        ) from None
    con.execute(
        """
        create temp table judged as
        select
          coalesce(key, '') as key,
          any_value(payload) as payload,
          count(*) as row_count,
          case
            when key is null then 'the key is empty'
            when count(*) > 1 then 'the key appears more than once'
            else nullif(any_value(reasons), '')
          end as reason
        from source_rows
        group by key
        """
    )
    con.execute("create temp view invalid as select key, reason, row_count from judged where reason is not null")


def compare(con: duckdb.DuckDBPyConnection, resolved: ResolvedSync) -> None:
    """Compare with `known_rows` (registered by the caller; see Ledger.known_rows)."""
    # A key with any row in the source, valid or not, is wanted there: only keys without one may be deleted.
    con.execute(
        """
        create temp table changes as
        select
          coalesce(wanted.key, known.key) as key,
          case
            when wanted.key is null then 'delete'
            when known.payload_hash is null then 'create'
            when known.in_doubt or known.payload_hash <> md5(wanted.payload) then 'update'
            else 'unchanged'
          end as operation,
          known.payload as payload_before,
          coalesce(wanted.payload, known.payload, known.doubtful_payload) as payload,
          coalesce(known.in_doubt, false) as in_doubt,
          known.payload_hash is not null as was_acknowledged
        from (select key, payload from judged where reason is null) as wanted
        full outer join known_rows as known on known.key = wanted.key
        where wanted.key is not null
          or not exists (select 1 from judged where judged.key = known.key)
        """
    )
    if resolved.sync.mode == "upsert":
        con.execute("update changes set operation = 'left' where operation = 'delete'")


def counts(con: duckdb.DuckDBPyConnection) -> dict[str, int]:
    """Rows by operation and the figures that limits are judged by."""
    row = con.execute(
        """
        select
          count(*) filter (operation = 'create'), count(*) filter (operation = 'update'),
          count(*) filter (operation = 'delete'), count(*) filter (operation = 'unchanged'),
          count(*) filter (operation = 'left'),
          count(*) filter (in_doubt and operation in ('create', 'update', 'delete')),
          count(*) filter (was_acknowledged and operation = 'update'),
          count(*) filter (was_acknowledged and operation = 'delete')
        from changes
        """
    ).fetchone()
    assert row is not None  # noqa: S101 - an aggregate without groups has one row
    names = ("create", "update", "delete", "unchanged", "left", "resend", "acknowledged_update", "acknowledged_delete")
    counts = dict(zip(names, row, strict=True))
    counts["invalid"] = _one(con, "select coalesce(sum(row_count), 0)::bigint from invalid")
    counts["source"] = _one(con, "select count(*) from source_rows")
    counts["acknowledged"] = _one(con, "select count(*) from known_rows where payload_hash is not null")
    return counts


def _one(con: duckdb.DuckDBPyConnection, sql: str) -> int:
    row = con.execute(sql).fetchone()
    return int(row[0]) if row else 0


def plan_id(con: duckdb.DuckDBPyConnection, sync: str) -> str:
    """The same for the same operations with the same payloads, else different."""
    row = con.execute(
        """
        select md5(? || coalesce(string_agg(md5(operation || key || payload), '' order by key), ''))
        from changes where operation in ('create', 'update', 'delete')
        """,
        [sync],
    ).fetchone()
    return str(row[0])[:12] if row else ""


def field_changes(con: duckdb.DuckDBPyConnection, resolved: ResolvedSync) -> dict[str, int]:
    """Updates in which each field changes, most frequent first."""
    names = ", ".join(field_changed_sql(field.name, "payload_before", "payload") for field in resolved.fields)
    con.execute(
        f"""
        create temp table updates as
        select key, payload_before, payload, list_filter([{names}]::varchar[], lambda name: name is not null) as fields
        from changes where operation = 'update'
        """
    )
    rows = con.execute(
        "select field, count(*) from (select unnest(fields) as field from updates) group by field order by 2 desc, 1"
    ).fetchall()
    return dict(rows)


def operations(con: duckdb.DuckDBPyConnection, resolved: ResolvedSync) -> pa.Table:
    """Rows to deliver in order: groups together where calls are grouped, else writes before deletes; then by key."""
    groups = [exp.Literal.string(f'$."{name}"').sql("duckdb") for name in resolved.object.batch.group_by]
    group_key = f"cast([{', '.join(f'json_extract(payload, {path})' for path in groups)}] as varchar)"
    order = "group_key, key" if groups else "operation = 'delete', key"
    kept = ("create", "update", "delete", "unchanged") if resolved.object.delivery == "snapshot" else OPERATIONS
    listed = ", ".join(f"'{operation}'" for operation in kept)
    return con.sql(
        f"""
        select key, operation, payload, md5(payload) as payload_hash, in_doubt,
          {group_key if groups else "''"} as group_key
        from changes where operation in ({listed})
        order by {order}
        """
    ).to_arrow_table()
