-- One row is one version of a line of a shop order; amounts in major units of the order's currency.
{{ config(enabled=is_active('shop')) }}

with source as (
    select * from {{ source('raw', 'shop__order_lines') }}
),

orders as (
    select
        order_id,
        min(currency) as currency
    from {{ source('raw', 'shop__orders') }}
    group by order_id
),

currencies as (
    select * from {{ ref('stg_reference__currency_rate') }}
),

final as (
    select
        'shop.order_lines:' || source.order_line_id as record_id,
        source._cdp_sequence as sequence,
        {{ local_to_utc('source.updated_at', "'Asia/Shanghai'") }} as observed_at,
        source.order_line_id,
        source.order_id,
        source.sku,
        source.product_name,
        source.quantity,
        orders.currency,
        (source.quantity * source.unit_price_cents / power(10, coalesce(currencies.minor_units, 2)))::decimal(18, 4) as line_amount
    from source
    left join orders on source.order_id = orders.order_id
    left join currencies on orders.currency = currencies.currency
)

select * from final
