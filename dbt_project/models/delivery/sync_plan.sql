-- What runs meant to do. One row is one run, operation and field (empty: rows of the operation).
{{ config(enabled=is_active('reverse_etl')) }}

with plans as (
    select * from {{ ref('stg_reverse_etl__sync_plans') }}
),

final as (
    select
        sync,
        run_id,
        plan_id,
        operation,
        field,
        row_count,
        run_as_of,
        sequence
    from plans
)

select * from final
