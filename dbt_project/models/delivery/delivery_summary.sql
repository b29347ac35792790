-- Counts of what the syncs did. One row is one sync, run, operation and status.
{{ config(enabled=is_active('reverse_etl')) }}

with deliveries as (
    select * from {{ ref('delivery') }}
),

final as (
    select
        sync,
        run_id,
        operation,
        status,
        count(*) as row_count,
        min(delivered_at) as first_delivered_at,
        max(delivered_at) as last_delivered_at
    from deliveries
    group by sync, run_id, operation, status
)

select * from final
