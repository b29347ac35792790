-- No segment jumps, shrinks or empties beyond what its `drift` declares. What would silently break otherwise: a campaign that goes to
-- everybody, or to nobody, because a source or a rule broke. While it fails, nothing behind segment_membership is built,
-- and syncs send what they sent before. To accept a new size, write `accepted_on: <day of the run>` into `drift`.
{{ config(meta={'dagster': {'ref': {'name': 'segment_membership'}}}) }}

with bounds as (
    select
        segment,
        grows_at_most,
        shrinks_at_most,
        may_be_empty,
        {{ as_of() }} - to_days(cast(within_days as integer)) as compared_at,
        cast(accepted_on as timestamp) as accepted_at
    from {{ ref('segment') }}
    where may_be_empty is not null
),

sizes as (
    select
        bounds.segment,
        count(*) filter (where stays.exited_at is null) as members,
        count(*) filter (
            where stays.entered_at <= bounds.compared_at
                and coalesce(stays.exited_at > bounds.compared_at, true)
        ) as members_before,
        min(stays.entered_at) as first_seen_at
    from bounds
    left join {{ ref('segment_membership') }} as stays on bounds.segment = stays.segment
    group by bounds.segment
),

final as (
    select
        sizes.segment,
        sizes.members,
        sizes.members_before,
        case
            when sizes.members = 0 and not bounds.may_be_empty and sizes.first_seen_at < {{ as_of() }} then 'is empty'
            -- nothing is that old, or what is older was declared to be past
            when sizes.members_before = 0 or bounds.accepted_at > bounds.compared_at then null
            when sizes.members > sizes.members_before * (1 + bounds.grows_at_most / 100) then 'has grown'
            when sizes.members < sizes.members_before * (1 - bounds.shrinks_at_most / 100) then 'has shrunk'
        end as problem
    from sizes
    inner join bounds on sizes.segment = bounds.segment
)

select * from final
where problem is not null
