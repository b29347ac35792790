-- One row is one run of a sync.
{{ config(enabled=is_active('reverse_etl')) }}

with source as (
    select * from {{ source('raw', 'reverse_etl__sync_runs') }}
),

final as (
    select
        'reverse_etl.sync_runs:' || sync || '/' || run_id as record_id,
        _cdp_sequence as sequence,
        finished_at at time zone 'UTC' as observed_at,
        started_at at time zone 'UTC' as started_at,
        sync,
        run_id,
        destination,
        object,
        mode,
        plan_id,
        status,
        message,
        resync_reason,
        source_rows,
        created,
        updated,
        appended,
        merged,
        deleted,
        rejected,
        failed,
        in_doubt,
        suppressed,
        invalid,
        unchanged,
        not_attempted,
        calls,
        seconds,
        as_of at time zone 'UTC' as run_as_of
    from source
)

select * from final
