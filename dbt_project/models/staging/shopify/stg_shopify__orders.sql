-- One row is one version of a Shopify order; test orders are left out.
{{ config(enabled=is_active('shopify')) }}

with source as (
    select * from {{ source('raw', 'shopify__orders') }}
    where not coalesce(test, false)
),

final as (
    select
        'shopify.order:' || id as record_id,
        _cdp_sequence as sequence,
        coalesce(updated_at, created_at) at time zone 'UTC' as observed_at,
        id as order_id,
        'shopify:' || nullif(customer_id, '') as customer_id,
        nullif(email, '') as email,
        coalesce(processed_at, created_at) at time zone 'UTC' as ordered_at,
        case when source_name = 'pos' then 'store' else 'web' end as channel,
        -- https://shopify.dev/docs/api/admin-rest/latest/resources/order: financial_status, fulfillment_status
        case
            when cancelled_at is not null or financial_status = 'voided' then 'cancelled'
            when financial_status = 'refunded' then 'refunded'
            when fulfillment_status = 'fulfilled' then 'shipped'
            when financial_status in ('paid', 'partially_refunded') then 'paid'
            else 'created'
        end as status,
        currency,
        try_cast(total_price as decimal(18, 4)) as total_amount
    from source
)

select * from final
