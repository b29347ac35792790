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

identifiers as (
    select
        identifier_key,
        identifier_check,
        is_stitching,
        tier,
        rank
    from {{ ref('identifier') }}
    where blocked_reason is null
),

grouped as (
    select
        observations.record_key,
        min(identifiers.rank) as least_rank,
        count(*) filter (where identifiers.is_stitching) as stitching_count,
        -- on a record with two of them these say all that its one edge needs
        max(identifiers.rank) filter (where identifiers.is_stitching) as second_rank,
        max(observations.sequence) filter (where identifiers.is_stitching) as sequence,
        max(coalesce(observations.tier, identifiers.tier)) filter (where identifiers.is_stitching) as tier
    from observations
    inner join identifiers on observations.identifier_key = identifiers.identifier_key
    -- two values under one key: no number of persons could be right, so nothing is built
    where case
        when observations.identifier_check = identifiers.identifier_check then true
        else error('identity: two identifiers have the same 63-bit key ' || observations.identifier_key || '; see docs/identity.md, Keys')
    end
    group by observations.record_key
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
