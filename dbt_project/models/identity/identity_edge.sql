-- What ties identifiers together. One row is one pair: the strongest identifier of a record and another one on it.
-- All edges are of the deterministic tier for now; the rule engine's further tiers and refusals have their place here.
with observations as (
    select * from {{ ref('identifier_observation') }}
    where identifier_key is not null
),

records as (
    select * from {{ ref('record_identifier') }}
    where stitching_count > 1
),

stitching as (
    select identifier_key
    from {{ ref('identifier') }}
    where is_stitching
),

final as (
    select
        records.identifier_key as left_key,
        observations.identifier_key as right_key,
        'deterministic' as tier,
        min(observations.sequence) as first_sequence,
        count(*) as record_count
    from records
    inner join observations on records.sequence = observations.sequence
    inner join stitching on observations.identifier_key = stitching.identifier_key
    where records.identifier_key <> observations.identifier_key
    group by records.identifier_key, observations.identifier_key
)

select * from final
