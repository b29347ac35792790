-- The strongest identifier of each raw row: its person is the row's person. One row is one raw row (sequence).
with observations as (
    select * from {{ ref('identifier_observation') }}
    where identifier_key is not null
),

identifiers as (
    select
        identifier_key,
        is_stitching,
        -- one number to order by: those that stitch before those that do not, then by the type's priority
        case when is_stitching then 0 else 1000 end + priority as rank
    from {{ ref('identifier') }}
    where blocked_reason is null
),

final as (
    select
        observations.sequence,
        any_value(observations.record_id) as record_id,
        any_value(observations.source) as source,
        arg_min(observations.identifier_key, { 'rank': identifiers.rank, 'key': observations.identifier_key }) as identifier_key,
        count(distinct observations.identifier_key) filter (where identifiers.is_stitching) as stitching_count
    from observations
    inner join identifiers on observations.identifier_key = identifiers.identifier_key
    group by observations.sequence
)

select * from final
