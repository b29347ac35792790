-- One row is one version of a Shopify checkout that was left.
{{ config(enabled=is_active('shopify')) }}

with source as (
    select * from {{ source('raw', 'shopify__abandoned_checkout') }}
),

final as (
    select
        'shopify.abandoned_checkout:' || id as record_id,
        _cdp_sequence as sequence,
        created_at at time zone 'UTC' as observed_at,
        id as checkout_id,
        'shopify:' || nullif(customer_id, '') as customer_id,
        nullif(email, '') as email,
        nullif(phone, '') as phone,
        currency,
        try_cast(total_price as decimal(18, 4)) as amount,
        completed_at
    from source
)

select * from final
