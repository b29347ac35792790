"""Who was whom by a moment of the past: persons as the warehouse would have told them apart by then.

Today's identity knows more than that moment did: a visitor who signed in a week later was two persons until then. Rows to learn from that
join the two have features nobody could have had. So identity's evidence, as it holds today, is taken up to the moment: two
identifiers were one person's when a record that was known by then, or a chain of such records, ties them. What is refused or
blocked today counts as refused or blocked then.

`remember_evidence` is called once for a connection, `place` for each moment; both write temporary tables that the rows of
`predictions.features` read.
"""

from __future__ import annotations

import duckdb
import pyarrow as pa

from cdp.identity.components import components_arrow

KEY = pa.int64()
EDGE = pa.struct([("left_key", KEY), ("right_key", KEY)])


def remember_evidence(con: duckdb.DuckDBPyConnection) -> None:
    """Since when each identifier of a person was known (`seen_then`), and each tie of two of them (`tie_then`). A record counts from the
    moment that it tells of; an event that arrived later, from its arrival. A decision of people counts from its day, an accepted match
    from when both sides were known."""
    con.execute(
        """
        create or replace temp table observed_then as
        select
            observations.record_key,
            observations.identifier_key,
            coalesce(min(greatest(observations.observed_at, events.received_at)), timestamp '-infinity') as known_at
        from conformed.identifier_observation as observations
        left join conformed.event as events on events.sequence = observations.sequence
        where observations.identifier_key is not null
        group by observations.record_key, observations.identifier_key
        """
    )
    con.execute(
        """
        create or replace temp table seen_then as
        select persons.identifier_key, persons.person_id, min(observed.known_at) as known_at
        from identity.identity_person as persons
        inner join observed_then as observed on observed.identifier_key = persons.identifier_key
        group by persons.identifier_key, persons.person_id
        """
    )
    con.execute(
        """
        create or replace temp table tie_then as
        with stitching as (
            select identifier_key from identity.identifier where is_stitching
        ),
        -- as identity ties a record: its strongest identifier with each other one
        evidence as (
            select records.identifier_key as one_key, observed.identifier_key as other_key, observed.known_at
            from identity.record_identifier as records
            inner join observed_then as observed
                on observed.record_key = records.record_key and observed.identifier_key <> records.identifier_key
            semi join stitching on stitching.identifier_key = records.identifier_key
            where observed.identifier_key in (select identifier_key from stitching)
            union all
            -- of tier 0 what people decided, whose sequence is a day (models/identity/int_identity__override_keyed.sql); of tier 99 matches
            select
                edges.left_key,
                edges.right_key,
                case
                    when edges.tier = 0 then timestamp '1970-01-01' + to_days(cast(edges.sequence as integer))
                    else greatest(one.known_at, other.known_at)
                end
            from identity.identity_edge as edges
            inner join seen_then as one on one.identifier_key = edges.left_key
            inner join seen_then as other on other.identifier_key = edges.right_key
            where edges.tier in (0, 99)
        )
        select pairs.left_key, pairs.right_key, min(pairs.known_at) as known_at
        from (
            select least(one_key, other_key) as left_key, greatest(one_key, other_key) as right_key, known_at from evidence
        ) as pairs
        inner join seen_then as one on one.identifier_key = pairs.left_key
        inner join seen_then as other on other.identifier_key = pairs.right_key
        anti join identity.identity_refusal as refused
            on refused.left_key = pairs.left_key and refused.right_key = pairs.right_key
        -- whom people or limits keep apart today were never one
        where one.person_id = other.person_id
        group by pairs.left_key, pairs.right_key
        """
    )


def place(con: duckdb.DuckDBPyConnection, moment: str) -> None:
    """Tell the persons of a moment (ISO, UTC) apart: `person_then` (entity_key: who it was then, one number for each; person_id: who
    it is today; one row for each person of then), and `record_then` (sequence, entity_key: whose each record is; also
    of records made later, as far as their strongest identifier was known)."""
    edges = con.sql(
        "select left_key, right_key from tie_then where known_at <= cast($moment as timestamp) order by all",
        params={"moment": moment},
    ).to_arrow_table()
    graph = pa.StructArray.from_arrays([edges.column(n).combine_chunks() for n in EDGE.names], fields=list(EDGE))
    nodes = components_arrow(pa.ListArray.from_arrays(pa.array([0, len(graph)], pa.int32()), graph)).values
    con.register("component_then", pa.table({n: nodes.field(n) for n in ("node_key", "component_key")}))
    con.execute(
        """
        create or replace temp table identifier_then as
        select seen.identifier_key, coalesce(nodes.component_key, seen.identifier_key) as entity_key, seen.person_id
        from seen_then as seen
        left join component_then as nodes on nodes.node_key = seen.identifier_key
        where seen.known_at <= cast($moment as timestamp)
        """,
        {"moment": moment},
    )
    con.unregister("component_then")
    con.execute(
        "create or replace temp table person_then as select distinct entity_key, person_id from identifier_then"
    )
    con.execute(
        """
        create or replace temp table record_then as
        select records.sequence, known.entity_key
        from identity.record_person as records
        inner join identity.record_identifier as strongest on strongest.record_key = records.record_key
        inner join identifier_then as known on known.identifier_key = strongest.identifier_key
        """
    )
