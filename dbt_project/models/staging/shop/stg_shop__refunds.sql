-- One row is one version of a refund; amounts in major units of its currency.
{{ config(enabled=is_active('shop')) }}

with source as (
    select * from {{ source('raw', 'shop__refunds') }}
),

currencies as (
    select * from {{ ref('stg_reference__currency_rate') }}
),

final as (
    select
        'shop.refunds:' || source.refund_id as record_id,
        source._cdp_sequence as sequence,
        {{ local_to_utc('source.created_at', "'Asia/Shanghai'") }} as observed_at,
        source.refund_id,
        source.order_id,
        source.currency,
        (source.amount_cents / power(10, coalesce(currencies.minor_units, 2)))::decimal(18, 4) as amount,
        source.reason
    from source
    left join currencies on source.currency = currencies.currency
)

select * from final
