-- One row is one version of a Shopify refund, with the sum of its lines and their tax.
{{ config(enabled=is_active('shopify')) }}

with source as (
    select * from {{ source('raw', 'shopify__refund') }}
),

lines as (
    select
        refund_id,
        sum(coalesce(try_cast(subtotal as decimal(18, 4)), 0) + coalesce(try_cast(total_tax as decimal(18, 4)), 0)) as amount
    from (
        select *
        from {{ source('raw', 'shopify__refund_line') }}
        qualify row_number() over (partition by id order by _cdp_sequence desc) = 1
    )
    group by refund_id
),

orders as (
    select
        id,
        currency
    from {{ source('raw', 'shopify__orders') }}
    qualify row_number() over (partition by id order by _cdp_sequence desc) = 1
),

final as (
    select
        'shopify.refund:' || source.id as record_id,
        source._cdp_sequence as sequence,
        coalesce(source.processed_at, source.created_at) at time zone 'UTC' as observed_at,
        source.id as refund_id,
        source.order_id,
        lines.amount,
        orders.currency
    from source
    left join lines on source.id = lines.refund_id
    left join orders on source.order_id = orders.id
)

select * from final
