-- One row is one invoice line. The data has no line number: the row's place in its file is one.
{{ config(enabled=is_active('online_retail')) }}

with source as (
    select * from {{ source('raw', 'online_retail__invoice_lines') }}
),

final as (
    select
        'online_retail.invoice_lines:' || invoice_no as record_id,
        _cdp_sequence as sequence,
        invoice_date at time zone 'UTC' as observed_at,
        invoice_no,
        invoice_no || '/' || _cdp_row as line_id,
        -- C: cancelled by the customer; A: bad debt written off
        invoice_no[1] in ('C', 'A') as is_cancellation,
        stock_code,
        description,
        quantity,
        unit_price,
        (quantity::decimal(18, 4) * unit_price::decimal(12, 4))::decimal(18, 4) as line_amount,
        'GBP' as currency,
        -- customer numbers count within their shop
        'online_retail:' || customer_id as customer_id,
        country
    from source
)

select * from final
