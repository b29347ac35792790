-- One row is one decision about one purpose of consent.
{{ config(enabled=is_active('consent')) }}

with source as (
    select * from {{ source('raw', 'consent__consents') }}
),

final as (
    select
        'consent.consents:' || consent_id as record_id,
        _cdp_sequence as sequence,
        occurred_at at time zone 'UTC' as observed_at,
        consent_id,
        identifier_type,
        identifier_value,
        purpose,
        state = 'granted' as is_granted,
        channel,
        text_version
    from source
)

select * from final
