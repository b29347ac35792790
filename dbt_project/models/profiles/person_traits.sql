-- What a person has done, in a few figures that declarations use most. One row is one person.
with persons as (
    select person_id
    from {{ ref('person') }}
),

events as (
    select
        person_id,
        count(*) as event_count,
        count(*) filter (where event_name in ('Page Viewed', 'Screen Viewed')) as page_view_count,
        count(distinct cast(occurred_at as date)) as active_day_count,
        count(distinct cast(occurred_at as date)) filter (
            where occurred_at > {{ as_of() }} - interval 30 day
        ) as active_day_count_30d,
        min(occurred_at) as first_event_at,
        max(occurred_at) as last_event_at
    from {{ ref('person_event') }}
    where occurred_at <= {{ as_of() }}
    group by person_id
),

orders as (
    select
        person_id,
        count(*) as order_count,
        -- decimals: a sum of doubles would depend on the order of the rows
        sum(cast(net_value as decimal(38, 6))) as revenue,
        min(ordered_at) as first_order_at,
        max(ordered_at) as last_order_at
    from {{ ref('person_order') }}
    where is_revenue
        and ordered_at <= {{ as_of() }}
    group by person_id
),

leads as (
    select
        person_id,
        min(created_at) filter (where object_type = 'lead') as lead_created_at,
        count(*) filter (where object_type = 'lead') as lead_count,
        count(*) filter (where object_type = 'opportunity') as opportunity_count,
        count(*) filter (
            where object_type = 'opportunity'
                and (closed_at is null or closed_at > {{ as_of() }})
                and coalesce(stage not in ('won', 'lost'), true)
        ) as open_opportunity_count,
        count(*) filter (where object_type = 'opportunity' and is_won) as won_opportunity_count
    from {{ ref('person_lead') }}
    where created_at <= {{ as_of() }}
    group by person_id
),

follows as (
    select
        person_id,
        count(*) as wecom_follow_count
    from {{ ref('wecom_follow') }}
    group by person_id
),

final as (
    select
        persons.person_id,
        coalesce(events.event_count, 0) as event_count,
        coalesce(events.page_view_count, 0) as page_view_count,
        coalesce(events.active_day_count, 0) as active_day_count,
        coalesce(events.active_day_count_30d, 0) as active_day_count_30d,
        events.first_event_at,
        events.last_event_at,
        coalesce(orders.order_count, 0) as order_count,
        cast(coalesce(orders.revenue, 0) as double) as revenue,
        cast(orders.revenue as double) / orders.order_count as average_order_value,
        orders.first_order_at,
        orders.last_order_at,
        leads.lead_created_at,
        coalesce(leads.lead_count, 0) as lead_count,
        coalesce(leads.opportunity_count, 0) as opportunity_count,
        coalesce(leads.open_opportunity_count, 0) as open_opportunity_count,
        coalesce(leads.won_opportunity_count, 0) as won_opportunity_count,
        coalesce(follows.wecom_follow_count, 0) as wecom_follow_count
    from persons
    left join events on persons.person_id = events.person_id
    left join orders on persons.person_id = orders.person_id
    left join leads on persons.person_id = leads.person_id
    left join follows on persons.person_id = follows.person_id
)

select * from final
