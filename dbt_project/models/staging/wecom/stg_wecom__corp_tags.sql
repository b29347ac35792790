-- One row is one tag of the corporation's tag library, as last told.
{{ config(enabled=is_active('wecom')) }}

with source as (
    select * from {{ source('raw', 'wecom__corp_tags') }}
),

final as (
    select
        tag_id,
        tag_name,
        group_id,
        group_name
    from source
    qualify row_number() over (partition by tag_id order by _cdp_sequence desc) = 1
)

select * from final
