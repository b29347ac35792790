-- Whether customers come back. One row is one month of first orders and one number of months after it.
{{ config(materialized='view') }}

with orders as (
    select
        person_id,
        date_trunc('month', ordered_at)::date as ordered_month_on,
        net_value
    from {{ ref('person_order') }}
    where is_revenue
        and person_id is not null
        and ordered_at <= {{ as_of() }}
),

first_orders as (
    select
        person_id,
        min(ordered_month_on) as cohort_on,
        count(*) as order_count
    from orders
    group by person_id
),

cohorts as (
    select
        cohort_on,
        count(*) as person_count,
        count(*) filter (where order_count > 1) as repeat_person_count,
        unnest(range(0, date_diff('month', cohort_on, {{ as_of() }}) + 1)) as months_later
    from first_orders
    group by cohort_on
),

activity as (
    select
        first_orders.cohort_on,
        date_diff('month', first_orders.cohort_on, orders.ordered_month_on) as months_later,
        count(distinct orders.person_id) as active_person_count,
        count(*) as order_count,
        sum(orders.net_value) as revenue
    from orders
    inner join first_orders on orders.person_id = first_orders.person_id
    group by
        first_orders.cohort_on,
        months_later
),

final as (
    select
        cohorts.cohort_on,
        cohorts.months_later,
        cohorts.person_count,
        cohorts.repeat_person_count,
        coalesce(activity.active_person_count, 0) as active_person_count,
        round(coalesce(activity.active_person_count, 0) / cohorts.person_count::double, 4) as retention_rate,
        coalesce(activity.order_count, 0) as order_count,
        coalesce(activity.revenue, 0)::decimal(18, 4) as revenue
    from cohorts
    left join activity
        on cohorts.cohort_on = activity.cohort_on
        and cohorts.months_later = activity.months_later
)

select * from final
