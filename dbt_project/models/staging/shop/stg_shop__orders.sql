-- One row is one version of a shop order; amounts in major units of the order's currency.
{{ config(enabled=is_active('shop')) }}

with source as (
    select * from {{ source('raw', 'shop__orders') }}
),

currencies as (
    select * from {{ ref('stg_reference__currency_rate') }}
),

final as (
    select
        'shop.orders:' || source.order_id as record_id,
        source._cdp_sequence as sequence,
        {{ local_to_utc('source.created_at', "'Asia/Shanghai'") }} as observed_at,
        source.order_id,
        source.customer_id,
        source.channel as shop_channel,
        source.status,
        source.currency,
        (source.total_cents / power(10, coalesce(currencies.minor_units, 2)))::decimal(18, 4) as total_amount,
        source.coupon_code
    from source
    left join currencies on source.currency = currencies.currency
)

select * from final
