-- One row is one version of a charge. Amounts come in the smallest unit: https://docs.stripe.com/currencies#zero-decimal.
{{ config(enabled=is_active('payments')) }}

with source as (
    select * from {{ source('raw', 'payments__charges') }}
),

currencies as (
    select * from {{ ref('stg_reference__currency_rate') }}
),

final as (
    select
        'payments.charges:' || source.id as record_id,
        source._cdp_sequence as sequence,
        make_timestamp(source.created * 1000000) as observed_at,
        source.id as charge_id,
        source.customer as payment_customer_id,
        source.status,
        upper(source.currency) as currency,
        (source.amount / power(10, coalesce(currencies.minor_units, 2)))::decimal(18, 4) as amount,
        nullif(source.billing_details ->> '$.email', '') as email,
        source.metadata ->> '$.order_id' as order_id
    from source
    left join currencies on upper(source.currency) = currencies.currency
)

select * from final
