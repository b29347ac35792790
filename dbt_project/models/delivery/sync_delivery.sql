-- What was sent where, and what became of it. One row is one row of one run of a sync.
{{ config(enabled=is_active('reverse_etl')) }}

with log as (
    select * from {{ ref('stg_reverse_etl__delivery_log') }}
),

final as (
    select
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
        observed_at as delivered_at,
        run_as_of,
        sequence
    from log
)

select * from final
