-- One row is one version of a Shopify customer.
{{ config(enabled=is_active('shopify')) }}

with source as (
    select * from {{ source('raw', 'shopify__customer') }}
),

final as (
    select
        'shopify.customer:' || id as record_id,
        _cdp_sequence as sequence,
        coalesce(updated_at, created_at) at time zone 'UTC' as observed_at,
        -- numbers of other shops may be the same
        'shopify:' || id as customer_id,
        first_name,
        last_name,
        email,
        phone,
        accepts_marketing
    from source
)

select * from final
