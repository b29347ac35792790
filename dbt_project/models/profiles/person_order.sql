-- Orders with their person and their value in the reporting currency. One row is one order; person_id is null for
-- buyers nobody knows. By person_number and row_digest tags tell whose orders are not those of the last run.
with orders as (
    select * from {{ ref('orders') }}
),

lines as (
    select
        order_key,
        count(*) as line_count,
        sum(quantity) as quantity,
        sum(amount) as amount,
        min(currency) as currency
    from {{ ref('order_line') }}
    group by order_key
),

refunds as (
    select
        order_key,
        sum(value) as refund_value,
        max(refunded_at) as last_refunded_at
    from {{ ref('refund') }}
    group by order_key
),

rates as (
    select * from {{ ref('stg_reference__currency_rate') }}
),

records as (
    select
        sequence,
        person_id
    from {{ ref('record_person') }}
),

valued as (
    select
        orders.order_key,
        records.person_id,
        orders.source,
        orders.order_id,
        orders.channel,
        orders.ordered_at,
        orders.status,
        coalesce(orders.currency, lines.currency) as currency,
        coalesce(orders.amount, lines.amount)::decimal(18, 4) as amount,
        (coalesce(orders.amount, lines.amount, 0) * coalesce(rates.rate, 1))::decimal(18, 4) as gross_value,
        coalesce(refunds.refund_value, 0)::decimal(18, 4) as refund_value,
        (
            (coalesce(orders.amount, lines.amount, 0) * coalesce(rates.rate, 1))::decimal(18, 4)
            - coalesce(refunds.refund_value, 0)
        )::decimal(18, 4) as net_value,
        coalesce(orders.status in ('paid', 'shipped', 'refunded') and coalesce(orders.amount, lines.amount, 0) > 0, false) as is_revenue,
        coalesce(lines.line_count, 0) as line_count,
        coalesce(lines.quantity, 0)::decimal(18, 4) as quantity,
        refunds.last_refunded_at,
        orders.sequence
    from orders
    left join lines on orders.order_key = lines.order_key
    left join refunds on orders.order_key = refunds.order_key
    left join rates on coalesce(orders.currency, lines.currency) = rates.currency
    left join records on orders.sequence = records.sequence
),

final as (
    select
        *,
        {{ number_of_person('person_id') }} as person_number,
        {{ whole_row_digest('valued') }} as row_digest
    from valued
)

select * from final
