-- One row is one decision on a manual tag.
{{ config(enabled=is_active('tag_decisions')) }}

with source as (
    select * from {{ source('raw', 'tag_decisions__decisions') }}
),

final as (
    select
        'tag_decisions.decisions:' || decision_id as record_id,
        _cdp_sequence as sequence,
        set_at at time zone 'UTC' as observed_at,
        decision_id,
        identifier_type,
        identifier_value,
        tag,
        nullif(value, '') as value,
        set_by
    from source
)

select * from final
