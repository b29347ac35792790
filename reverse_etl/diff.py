"""The set-based comparison behind a plan, on one DuckDB connection.

desired (one row a source row) -> invalid, wanted (one row a key) -> changes (one row a key that is not as it should be)
Rows that are as they should be are counted and never written down, so a plan costs what reading the source costs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cdp.errors import ConfigurationError
from reverse_etl.catalog import ResolvedSync
from reverse_etl.query import changed_fields_sql, desired_sql, keys_sql, wire_sql

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

# What is sent, in this order: an object must stand before another can be merged into it, and goes last.
SENT = ("create", "update", "append", "merge", "delete")

# Mode -> operation of a row that the destination does not have, of one that changed, of one that left the source.
_NEW = {"update_only": "update", "append": "append", "delete": "delete"}
_CHANGED = {"create_only": "unchanged", "append": "unchanged", "delete": "unchanged"}
_GONE = {"mirror": "delete", "delete": "forget"}


def desire(con: duckdb.DuckDBPyConnection, resolved: ResolvedSync) -> None:
    """Make `wanted` and `invalid` from the source. Raises ConfigurationError when it is not there."""
    import duckdb

    source = resolved.source
    try:
        if source.files is None:
            relation = source.relation
        else:
            # A file may be replaced between two looks at it, so it is read once.
            con.execute(f"create temp table source_file as select * from {source.relation}")
            relation = "source_file"
        con.execute(f"create temp view desired as {desired_sql(resolved, relation)}")
        con.execute(f"create temp view source_keys as {keys_sql(resolved, relation)}")
        con.execute("select * from desired limit 0")
    except (duckdb.CatalogException, duckdb.BinderException, duckdb.IOException, duckdb.InvalidInputException) as error:
        built = source.files is None
        raise ConfigurationError(
            f"the source cannot be read: {str(error).splitlines()[0]}",
            where=(", ".join(source.models) or source.relation) if built else source.model,
            expected="the table or view with the columns of its contract"
            if built
            else "the file with its declared columns",
            fix=f"run `dbt build --select {source.model}`" if built else "put the file there; see CDP_LANDING_DIR",
        ) from None
    con.execute(
        """
        create temp table repeated as
        select key, count(*) as row_count from source_keys where key is not null group by key having count(*) > 1;
        create temp table invalid as
        select key, 'the key appears more than once' as reason, row_count from repeated
        union all
        select '', 'the key is empty', count(*) from source_keys where key is null having count(*) > 0
        union all
        select key, reasons, 1 from desired
        where reasons is not null and key is not null and not exists (select 1 from repeated where repeated.key = desired.key);
        create temp view wanted as
        select key, person, payload, md5(payload) as payload_hash from desired
        where reasons is null and key is not null and not exists (select 1 from repeated where repeated.key = desired.key);
        """
    )


def compare(
    con: duckdb.DuckDBPyConnection,
    resolved: ResolvedSync,
    *,
    reset_through: int = -1,
    hold_doubts: bool = False,
    is_rekeyed: bool = False,
    only: Sequence[str] | None = None,
) -> None:
    """Compare `wanted` with `known` (Ledger.load_known): makes `changes` and `tally`.

    `reset_through`: rows acknowledged up to this batch are sent again. `is_rekeyed`: the sync's key has changed, so what
    was acknowledged under old keys is forgotten and never deleted. `only`: no other keys (a retry).
    """
    import pyarrow as pa

    mode = resolved.sync.mode
    new, changed, gone = _NEW.get(mode, "create"), _CHANGED.get(mode, "update"), _GONE.get(mode, "left")
    if is_rekeyed:
        gone = "forget"
    again = new if mode in ("append", "delete", "create_only") else "update"
    held = "'held'" if hold_doubts else f"case when known.payload_hash is null then '{new}' else '{again}' end"
    snapshot = resolved.object.delivery == "snapshot"
    chosen = ""
    if only is not None:
        con.register("only_keys", pa.table({"key": pa.array(list(only), pa.string())}))
        chosen = "and coalesce(wanted.key, known.key) in (select key from only_keys)"
    # A key with any row in the source, valid or not, is wanted there: only keys without one may be deleted.
    con.execute(
        f"""
        create temp table compared as
        select
          coalesce(wanted.key, known.key) as key,
          case
            when wanted.key is null and known.in_doubt and {str(hold_doubts).lower()} then 'held'
            when wanted.key is null then '{gone}'
            when known.key is null then '{new}'
            when known.in_doubt then {held}
            when known.payload_hash is null then '{new}'
            when known.batch <= {int(reset_through)} then '{again}'
            when known.payload_hash <> wanted.payload_hash then '{changed}'
            else 'unchanged'
          end as operation,
          wanted.payload as payload_wanted,
          coalesce(wanted.payload_hash, known.payload_hash) as payload_hash,
          wanted.person,
          known.position,
          coalesce(known.in_doubt, false) as in_doubt,
          coalesce(known.batch <= {int(reset_through)}, false) as is_reset,
          known.payload_hash is not null as was_acknowledged,
          known.doubtful_payload
        from wanted full outer join known on known.key = wanted.key
        where (wanted.key is not null or not exists (select 1 from invalid where invalid.key = known.key))
          and (wanted.key is null or known.key is null or known.in_doubt or {"true" if snapshot else "false"}
            or known.batch <= {int(reset_through)} or known.payload_hash <> wanted.payload_hash)
          {chosen}
        """
    )


def detail(con: duckdb.DuckDBPyConnection, resolved: ResolvedSync) -> None:
    """Make `changes` from `compared` and `held_payload`: payloads before and after, which fields change, what is sent.

    An update none of whose changes shall be sent (nulls that are omitted) is unchanged.
    """
    fields = changed_fields_sql(resolved.fields, "payload_before", "payload")
    con.execute(
        f"""
        create temp table changes as
        with paired as (
          select
            compared.* replace (coalesce(compared.person, held_payload.person) as person),
            held_payload.payload as payload_before,
            coalesce(compared.payload_wanted, held_payload.payload, compared.doubtful_payload) as payload
          from compared left join held_payload on held_payload.key = compared.key
        ),
        judged as (
          select *, case when operation = 'update' and was_acknowledged then {fields} else []::varchar[] end as fields
          from paired
        )
        select
          * replace (
            case
              when operation = 'update' and was_acknowledged and len(fields) = 0 and not in_doubt and not is_reset
              then 'unchanged' else operation
            end as operation,
            coalesce(payload_hash, md5(payload)) as payload_hash
          ),
          {wire_sql(resolved.fields, "payload", "payload_before")} as wire,
          cast(null as varchar) as into_payload
        from judged
        """
    )


def merge(con: duckdb.DuckDBPyConnection, resolved: ResolvedSync) -> None:
    """Turn rows that left because their person was merged into another into merges, or deletes where there are none."""
    if resolved.merges is None:
        return
    operation = "merge" if resolved.object.merges else "delete"
    if operation == "delete" and not resolved.object.deletes:
        return
    con.execute(
        f"""
        create temp table merged as
        select lost.key, min(wanted.key) as winner
        from changes as lost
        inner join (select cast(person_id as varchar) as person_id, cast(merged_into as varchar) as merged_into
          from {resolved.merges.relation}) as merges on merges.person_id = lost.person
        inner join wanted on wanted.person = merges.merged_into
        where lost.operation in ('left', 'delete')
        group by lost.key;
        update changes set operation = '{operation}', into_payload = (
          select wanted.payload from merged inner join wanted on wanted.key = merged.winner where merged.key = changes.key)
        where key in (select key from merged);
        """
    )


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
          (select count(*) from known where payload_hash is not null),
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
        select md5(? || coalesce(string_agg(md5(operation || key || payload_hash), '' order by key), ''))
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
    that stands for the operation), size (bytes as sent, and one for the comma between two rows).
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
          payload, wire, into_payload as "into", person, cast(null as varchar) as consent_record,
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
