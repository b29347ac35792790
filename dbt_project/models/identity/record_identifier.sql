-- The strongest identifier of each record: its person is the record's person. One row is one record (record_key).
{{ config(
    materialized='incremental', incremental_strategy='append', on_schema_change='fail',
    pre_hook="{{ forget('record_key', 'record') }}"
) }}

-- depends_on: {{ ref('identity_reopened') }}, {{ ref('observation_reopened') }}, {{ ref('identifier_observation') }}
with observations as (
    select * from {{ identity_observations() }}
    where identifier_key is not null
),

types as (
    select * from {{ ref('int_identity__type_numbered') }}
),

-- few; a join with every identifier instead costs as much as all the rest of this model
exceptions as (
    select
        identifier_key,
        is_shared,
        blocked_reason is not null as is_blocked
    from {{ ref('identifier') }}
    where not is_stitching
),

ranked as (
    select
        observations.record_key,
        observations.sequence,
        coalesce(observations.tier, types.tier) as tier,
        exceptions.identifier_key is null as is_stitching,
        -- strength on the record, as one number: those that stitch before those that do not, then by type, then by key
        ((case when exceptions.is_shared then 1000 else 0 end + types.strength)::hugeint << 63) | observations.identifier_key as rank
    from observations
    left join types on observations.identifier_type = types.name
    left join exceptions on observations.identifier_key = exceptions.identifier_key
    where exceptions.is_blocked is not true
),

grouped as (
    select
        record_key,
        min(rank) as least_rank,
        count(*) filter (where is_stitching) as stitching_count,
        -- on a record with two of them these say all that its one edge needs
        max(rank) filter (where is_stitching) as second_rank,
        max(sequence) filter (where is_stitching) as sequence,
        max(tier) filter (where is_stitching) as tier
    from ranked
    group by record_key
),

final as (
    select
        record_key,
        (least_rank & 9223372036854775807)::bigint as identifier_key,
        (second_rank & 9223372036854775807)::bigint as second_key,
        stitching_count,
        sequence,
        tier
    from grouped
)

select * from final
