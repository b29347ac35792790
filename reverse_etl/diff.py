"""The set-based comparison behind a plan, on one DuckDB connection.

typed (one row a source row) -> invalid, apart (rows of either side without an equal on the other) -> compared -> changes (one
row a key that is not as it should be). Rows that are as they should be are told by a digest of their values and never written
down, so a plan costs what reading the source costs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cdp.errors import ConfigurationError
from reverse_etl.catalog import ResolvedSync
from reverse_etl.query import (
    changed_fields_sql,
    digest_sql,
    keys_sql,
    payload_sql,
    reasons_sql,
    typed_sql,
    wire_sql,
)

if TYPE_CHECKING:
    import duckdb

# Mode -> operation of a row that the destination does not have, of one that changed, of one that left the source.
_NEW = {"update_only": "update", "append": "append", "delete": "delete"}
_CHANGED = {"create_only": "unchanged", "append": "unchanged", "delete": "unchanged"}
_GONE = {"mirror": "delete", "delete": "forget"}


def desire(con: duckdb.DuckDBPyConnection, resolved: ResolvedSync) -> None:
    """Make `typed`, `wanted` and `invalid` from the source. Raises ConfigurationError when it is not there."""
    import duckdb

    source = resolved.source
    try:
        if source.files is None:
            relation = source.relation
        else:
            # A file may be replaced between two looks at it, so it is read once.
            con.execute(f"create temp table source_file as select * from {source.relation}")
            relation = "source_file"
        con.execute(f"create temp view typed as {typed_sql(resolved, relation)}")
        con.execute(f"create temp view source_keys as {keys_sql(resolved, relation)}")
        con.execute("select * from typed limit 0")
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
    # Groups of numbers take a fifth of the time that groups of texts take, and few keys are left for those.
    con.execute(
        f"""
        create temp table repeated as
        select key, count(*) as row_count from source_keys
        where key is not null and hash(key) in (select hash(key) from source_keys group by hash(key) having count(*) > 1)
        group by key having count(*) > 1;
        create temp view judged as
        select *, {reasons_sql(resolved.fields)} as reasons, key is not null and key not in (select key from repeated) as is_one
        from typed;
        create temp table invalid as
        select key, 'the key appears more than once' as reason, row_count from repeated
        union all
        select '', 'the key is empty', count(*) from source_keys where key is null having count(*) > 0
        union all
        select key, reasons, 1 from judged where reasons is not null and is_one;
        create temp view wanted as
        select key, person, {payload_sql(resolved.fields)} as payload from judged where reasons is null and is_one;
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
    """Compare what is wanted with `known` (Ledger.load_known): makes `apart` and `compared`.

    `reset_through`: rows acknowledged up to this batch are sent again. `is_rekeyed`: the sync's key has changed, so what
    was acknowledged under old keys is forgotten and never deleted. `only`: no other keys (a retry).
    """
    import pyarrow as pa

    mode = resolved.sync.mode
    new, changed, gone = _NEW.get(mode, "create"), _CHANGED.get(mode, "update"), _GONE.get(mode, "left")
    if is_rekeyed:
        gone = "forget"
    again = new if mode in ("append", "delete", "create_only") else "update"
    held = "'held'" if hold_doubts else f"case when known.batch is null then '{new}' else '{again}' end"
    snapshot = resolved.object.delivery == "snapshot"
    chosen = ""
    if only is not None:
        con.register("only_keys", pa.table({"key": pa.array(list(only), pa.string())}))
        chosen = "and coalesce(mine.key, known.key) in (select key from only_keys)"
    # Equal digests of one key are the same values. What is in doubt or reset goes on to the comparison whatever it is.
    con.execute(
        f"""
        create temp table apart as
        with held as (
          select *, case when not in_doubt and batch > {int(reset_through)} and {"false" if snapshot else "true"} then digest end
            as settled_digest
          from known
        ),
        mine as (select *, true as is_mine, {digest_sql(resolved.fields)} as own_digest from judged)
        select
          mine.key, mine.person, mine.own_digest, coalesce(mine.reasons is null and mine.is_one, false) as is_wanted,
          case when mine.is_mine then {payload_sql(resolved.fields)} end as payload,
          held.key as known_key, held.digest, held.batch, held.position, held.in_doubt, held.doubtful_payload
        from mine full outer join held on held.settled_digest = mine.own_digest and held.key = mine.key
        where mine.is_mine is null or held.key is null;
        """
    )
    # A key with any row in the source, valid or not, is wanted there: only keys without one may be deleted.
    con.execute(
        f"""
        create temp table compared as
        with mine as (select * from apart where is_wanted),
        known as (
          select known_key as key, digest, batch, position, in_doubt, doubtful_payload from apart where known_key is not null
        )
        select
          coalesce(mine.key, known.key) as key,
          case
            when mine.key is null and known.in_doubt and {str(hold_doubts).lower()} then 'held'
            when mine.key is null then '{gone}'
            when known.key is null then '{new}'
            when known.in_doubt then {held}
            when known.batch is null then '{new}'
            when known.batch <= {int(reset_through)} then '{again}'
            when known.digest is distinct from mine.own_digest then '{changed}'
            else 'unchanged'
          end as operation,
          mine.payload as payload_wanted,
          coalesce(mine.own_digest, known.digest) as digest,
          mine.person,
          known.position,
          coalesce(known.in_doubt, false) as in_doubt,
          coalesce(known.batch <= {int(reset_through)}, false) as is_reset,
          known.batch is not null as was_acknowledged,
          known.doubtful_payload
        from mine full outer join known on known.key = mine.key
        where (mine.key is not null or not exists (select 1 from invalid where invalid.key = known.key))
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
            end as operation
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
