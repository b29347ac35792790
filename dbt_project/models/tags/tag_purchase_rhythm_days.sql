-- Days that usually pass between two orders: the median gap. Needs the row before, which an expression cannot say.
-- One row is one person with three orders or more.
with orders as (
    select
        person_id,
        ordered_at,
        order_key
    from {{ ref('person_order') }}
    where is_revenue
        and person_id is not null
        and ordered_at <= {{ as_of() }}
),

gaps as (
    select
        person_id,
        date_diff(
            'second',
            lag(ordered_at) over (partition by person_id order by ordered_at, order_key),
            ordered_at
        ) as gap_seconds
    from orders
),

final as (
    select
        person_id,
        round(median(gap_seconds) / 86400, 1) as value
    from gaps
    where gap_seconds is not null
    group by person_id
    having count(*) >= 2
)

select * from final
