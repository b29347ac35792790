-- The strongest identifier of each record: its person is the record's person. One row is one record (record_key).
{{ config(materialized='incremental', incremental_strategy='append', on_schema_change='fail', pre_hook="{{ forget('record_key', 'record') }}") }}

-- depends_on: {{ ref('identity_reopened') }}, {{ ref('observation_reopened') }}, {{ ref('identifier_observation') }}
with observations as (
    select * from {{ identity_observations() }}
    where identifier_key is not null
),

identifiers as (
    select
        identifier_key,
        is_stitching,
        tier,
        rank
    from {{ ref('identifier') }}
    where blocked_reason is null
),

grouped as (
    select
        observations.record_key,
        any_value(observations.record_id) as record_id,
        any_value(observations.source) as source,
        min(observations.sequence) as first_sequence,
        min(identifiers.rank) as least_rank,
        arg_min(observations.sequence, identifiers.rank) as sequence,
        arg_min(coalesce(observations.tier, identifiers.tier), identifiers.rank) as tier,
        count(*) filter (where identifiers.is_stitching) as stitching_count
    from observations
    inner join identifiers on observations.identifier_key = identifiers.identifier_key
    group by observations.record_key
),

final as (
    select
        record_key,
        record_id,
        source,
        first_sequence,
        (least_rank & 9223372036854775807)::bigint as identifier_key,
        sequence,
        tier,
        stitching_count
    from grouped
)

select * from final
