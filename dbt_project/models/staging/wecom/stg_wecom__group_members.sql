-- One row is one customer in one group chat as one read told; members of staff are left out.
{{ config(enabled=is_active('wecom')) }}

with source as (
    select * from {{ source('raw', 'wecom__group_members') }}
),

final as (
    select
        'wecom.group_members:' || chat_id || '/' || userid as record_id,
        _cdp_sequence as sequence,
        coalesce(left_at at time zone 'UTC', to_timestamp(join_time) at time zone 'UTC') as observed_at,
        to_timestamp(join_time) at time zone 'UTC' as joined_at,
        left_at at time zone 'UTC' as left_at,
        chat_id,
        chat_name,
        owner,
        userid as external_userid,
        nullif(unionid, '') as unionid,
        case when left_at is null then nullif(name, '') end as nickname,
        case join_scene when 1 then 'invited' when 2 then 'link' when 3 then 'qr_code' end as joined_by
    from source
    where member_type = 2
)

select * from final
