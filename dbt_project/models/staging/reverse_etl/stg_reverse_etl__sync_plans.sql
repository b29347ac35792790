-- One row is one run of a sync, operation and field.
{{ config(enabled=is_active('reverse_etl')) }}

with source as (
    select * from {{ source('raw', 'reverse_etl__sync_plans') }}
),

final as (
    select
        'reverse_etl.sync_plans:' || sync || '/' || run_id || '/' || operation || '/' || coalesce(field, '') as record_id,
        _cdp_sequence as sequence,
        as_of at time zone 'UTC' as observed_at,
        sync,
        run_id,
        plan_id,
        operation,
        field,
        row_count,
        as_of at time zone 'UTC' as run_as_of
    from source
)

select * from final
