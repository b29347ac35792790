-- What was sent where, and what became of it. One row is one row of one run of a sync.
-- Kept for so many days; raw keeps all, and sync_state looks at all.
{{ config(enabled=is_active('reverse_etl'), meta={'retention_days': 400}) }}

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
    where observed_at > {{ as_of() }} - to_days({{ config.get('meta')['retention_days'] }})
)

select * from final
