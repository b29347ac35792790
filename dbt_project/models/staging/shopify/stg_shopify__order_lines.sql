-- One row is one version of a line of a Shopify order.
{{ config(enabled=is_active('shopify')) }}

with source as (
    select * from {{ source('raw', 'shopify__order_line') }}
),

final as (
    select
        'shopify.order_line:' || id as record_id,
        _cdp_sequence as sequence,
        null::timestamp as observed_at,
        id as line_id,
        order_id,
        coalesce(nullif(sku, ''), product_id) as product_id,
        title as product_name,
        quantity,
        try_cast(price as decimal(18, 4)) * quantity - coalesce(try_cast(total_discount as decimal(18, 4)), 0) as amount
    from source
)

select * from final
