-- One row is one version of a shop customer.
{{ config(enabled=is_active('shop')) }}

with source as (
    select * from {{ source('raw', 'shop__customers') }}
),

final as (
    select
        'shop.customers:' || customer_id as record_id,
        _cdp_sequence as sequence,
        {{ local_to_utc('updated_at', "'Asia/Shanghai'") }} as observed_at,
        customer_id,
        user_id,
        email,
        phone,
        first_name,
        last_name,
        loyalty_card_no,
        country,
        is_guest = 1 as is_guest,
        {{ local_to_utc('created_at', "'Asia/Shanghai'") }} as created_at
    from source
)

select * from final
