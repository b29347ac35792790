-- One row is the outcome of one row in one run of a sync.
{{ config(enabled=is_active('reverse_etl')) }}

with source as (
    select * from {{ source('raw', 'reverse_etl__delivery_log') }}
),

final as (
    select
        'reverse_etl.delivery_log:' || sync || '/' || run_id || '/' || key_hash as record_id,
        _cdp_sequence as sequence,
        delivered_at at time zone 'UTC' as observed_at,
        sync,
        run_id,
        key_hash,
        person_id,
        operation,
        status,
        code,
        error_class,
        reason,
        request_id,
        attempt,
        payload_hash,
        consent_record,
        as_of at time zone 'UTC' as run_as_of
    from source
)

select * from final
