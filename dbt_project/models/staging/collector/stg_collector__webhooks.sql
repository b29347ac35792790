-- One row is one delivery to a webhook; what was sent again after long is there once, as it first came.
{{ config(enabled=is_active('collector')) }}

with source as (
    select * from {{ source('raw', 'collector__webhooks') }}
),

numbered as (
    select
        *,
        row_number() over (partition by source, message_id order by _cdp_sequence) as copy_no
    from source
),

final as (
    select
        'collector.webhooks:' || source || '/' || message_id as record_id,
        _cdp_sequence as sequence,
        received_at at time zone 'UTC' as observed_at,
        source as input,
        topic,
        payload
    from numbered
    where copy_no = 1
)

select * from final
