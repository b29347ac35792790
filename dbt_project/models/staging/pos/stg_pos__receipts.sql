-- One row is one line of a till receipt.
{{ config(enabled=is_active('pos')) }}

with source as (
    select * from {{ source('raw', 'pos__receipts') }}
),

final as (
    select
        'pos.receipts:' || receipt_no as record_id,
        _cdp_sequence as sequence,
        -- tills in Europe write 31.12.2026 18:00:00, those in China 2026/12/31 18:00:00
        {{ local_to_utc("try_strptime(sold_at, ['%d.%m.%Y %H:%M:%S', '%Y/%m/%d %H:%M:%S'])", 'store_time_zone') }} as observed_at,
        receipt_no,
        line_no,
        store,
        nullif(trim(card_no), '') as card_no,
        nullif(trim(phone), '') as phone,
        sku,
        qty as quantity,
        amount,
        currency
    from source
)

select * from final
