-- One row is one version of a customer of the payment provider.
{{ config(enabled=is_active('payments')) }}

with source as (
    select * from {{ source('raw', 'payments__customers') }}
),

final as (
    select
        'payments.customers:' || id as record_id,
        _cdp_sequence as sequence,
        make_timestamp(created * 1000000) as observed_at,
        id as payment_customer_id,
        metadata ->> '$.user_id' as user_id,
        nullif(email, '') as email,
        nullif(phone, '') as phone,
        nullif(name, '') as full_name
    from source
)

select * from final
