-- The strongest identifier of each record: its person is the record's person. One row is one record (record_key).
{{ config(materialized='incremental', incremental_strategy='append', on_schema_change='fail', pre_hook="{{ forget('record_key', 'record') }}") }}

-- depends_on: {{ ref('identity_reopened') }}, {{ ref('observation_reopened') }}, {{ ref('identifier_observation') }}
with observations as (
    select * from {{ identity_observations() }}
    where identifier_key is not null
),

ranked as (
    select
        identifiers.identifier_key,
        identifiers.is_stitching,
        types.tier,
        -- one number to order by: those that stitch before those that do not, then by the type's strength, then by key
        ((case when identifiers.is_stitching then 0 else 1000 end + types.strength)::hugeint << 63) | identifiers.identifier_key as rank
    from {{ ref('identifier') }} as identifiers
    inner join {{ ref('int_identity__type_numbered') }} as types on identifiers.type_no = types.type_no
    where identifiers.blocked_reason is null
),

grouped as (
    select
        observations.record_key,
        min(ranked.rank) as least_rank,
        arg_min(observations.sequence, ranked.rank) as sequence,
        arg_min(coalesce(observations.tier, ranked.tier), ranked.rank) as tier,
        count(*) filter (where ranked.is_stitching) as stitching_count
    from observations
    inner join ranked on observations.identifier_key = ranked.identifier_key
    group by observations.record_key
),

final as (
    select
        record_key,
        (least_rank & 9223372036854775807)::bigint as identifier_key,
        sequence,
        tier,
        stitching_count
    from grouped
)

select * from final
