-- One row is one change of stage of a lead or an opportunity.
{{ config(enabled=is_active('crm')) }}

with source as (
    select * from {{ source('raw', 'crm__stage_history') }}
),

final as (
    select
        'crm.stage_history:' || id as record_id,
        _cdp_sequence as sequence,
        changed_at at time zone 'UTC' as observed_at,
        id as stage_change_id,
        object_type,
        object_id,
        replace(lower(from_stage), ' ', '_') as from_stage,
        replace(lower(to_stage), ' ', '_') as to_stage
    from source
)

select * from final
