-- Runs of syncs with their figures. One row is one run of a sync.
{{ config(enabled=is_active('reverse_etl')) }}

with runs as (
    select * from {{ ref('stg_reverse_etl__sync_runs') }}
),

final as (
    select
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
        started_at,
        observed_at as finished_at,
        run_as_of,
        sequence
    from runs
)

select * from final
