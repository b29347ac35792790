-- What ties identifiers together. One row is one pair (left_key < right_key) with the least (tier, sequence) of its evidence.
-- Evidence is a star on each record, from its strongest stitching identifier to each other one; overrides, of tier 0; and
-- what matching models take for one person, of a late tier.
{{ config(materialized='incremental', incremental_strategy='append', on_schema_change='fail', pre_hook="{{ forget('left_key') }}") }}

-- depends_on: {{ ref('identity_reopened') }}, {{ ref('observation_reopened') }}, {{ ref('identifier_observation') }}
with records as (
    select * from {{ ref('record_identifier') }}
    where stitching_count > 1
        -- a reopened record may be there for a shared identifier alone: then what it ties is not computed anew
        and {{ is_reopened('identifier_key') }}
),

stitching as (
    select
        identifier_key,
        tier
    from {{ ref('identifier') }}
    where is_stitching
),

crowded as (
    select
        records.record_key,
        records.identifier_key as strongest_key,
        observations.identifier_key,
        observations.sequence,
        coalesce(observations.tier, stitching.tier) as tier
    from {{ identity_observations() }} as observations
    inner join records on observations.record_key = records.record_key and records.stitching_count > 2
    inner join stitching on observations.identifier_key = stitching.identifier_key
),

evidence as (
    -- most records hold two identifiers: there is nothing to look up
    select
        identifier_key as one_key,
        second_key as other_key,
        tier,
        sequence
    from records
    where stitching_count = 2 and second_key <> identifier_key
    union all
    select
        strongest.identifier_key as one_key,
        crowded.identifier_key as other_key,
        greatest(crowded.tier, strongest.tier) as tier,
        greatest(crowded.sequence, strongest.sequence) as sequence
    from crowded
    inner join crowded as strongest
        on crowded.record_key = strongest.record_key
        and strongest.identifier_key = strongest.strongest_key
        and crowded.identifier_key <> strongest.identifier_key
    union all
    select
        overrides.left_key,
        overrides.right_key,
        0 as tier,
        overrides.sequence
    from {{ ref('int_identity__override_keyed') }} as overrides
    inner join {{ ref('identifier') }} as one on overrides.left_key = one.identifier_key
    inner join {{ ref('identifier') }} as other on overrides.right_key = other.identifier_key
    where overrides.action = 'merge'
        and one.blocked_reason is null
        and other.blocked_reason is null
        and {{ is_reopened('overrides.left_key') }}
    union all
    -- what a matching model took for one person, after everything that records say
    select
        matches.left_key,
        matches.right_key,
        99 as tier,
        matches.sequence
    from {{ ref('int_identity__override_keyed') }} as matches
    inner join stitching as one on matches.left_key = one.identifier_key
    inner join stitching as other on matches.right_key = other.identifier_key
    where matches.action = 'match'
        and {{ is_reopened('matches.left_key') }}
),

pairs as (
    select
        least(one_key, other_key) as left_key,
        greatest(one_key, other_key) as right_key,
        -- tier and sequence as one number: the least of both together
        min((tier::hugeint << 63) | sequence::bigint) as least_evidence,
        count(*) as record_count
    from evidence
    group by least(one_key, other_key), greatest(one_key, other_key)
),

final as (
    select
        left_key,
        right_key,
        (least_evidence >> 63)::smallint as tier,
        (least_evidence & 9223372036854775807)::bigint as sequence,
        record_count
    from pairs
)

select * from final
