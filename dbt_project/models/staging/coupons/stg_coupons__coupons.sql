-- One row is one step in the life of a coupon, as it arrived.
{{ config(enabled=is_active('coupons')) }}

with source as (
    select * from {{ source('raw', 'coupons__coupons') }}
),

final as (
    select
        'coupons.coupons:' || coupon_code || '/' || event as record_id,
        _cdp_sequence as sequence,
        occurred_at at time zone 'UTC' as observed_at,
        coupon_code,
        event,
        'Coupon ' || upper(event[1]) || event[2:] as event_name,
        campaign,
        user_id,
        phone,
        openid,
        nullif(order_id, '') as order_id,
        json_object('coupon_code', coupon_code, 'value_cents', value_cents, 'currency', currency) as properties
    from source
)

select * from final
