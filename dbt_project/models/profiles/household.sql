-- Households with what their people add up to. One row is one household.
with members as (
    select * from {{ ref('household_member') }}
),

orders as (
    select
        person_id,
        count(*) as order_count,
        sum(net_value) as value
    from {{ ref('person_order') }}
    where is_revenue
    group by person_id
),

final as (
    select
        members.household_id,
        count(*) as person_count,
        min(members.joined_at) as formed_at,
        coalesce(sum(orders.order_count), 0)::bigint as order_count,
        coalesce(sum(orders.value), 0)::decimal(18, 4) as revenue
    from members
    left join orders on members.person_id = orders.person_id
    group by members.household_id
)

select * from final
