-- One row is one follow relation (member of staff, customer) as one read told.
{{ config(enabled=is_active('wecom')) }}

with source as (
    select * from {{ source('raw', 'wecom__external_contacts') }}
),

final as (
    select
        'wecom.external_contacts:' || userid || '/' || external_userid as record_id,
        _cdp_sequence as sequence,
        to_timestamp((follow_info ->> '$.createtime')::bigint) at time zone 'UTC' as observed_at,
        userid,
        external_userid,
        external_contact ->> '$.unionid' as unionid,
        external_contact ->> '$.name' as name,
        case external_contact ->> '$.gender' when '1' then 'male' when '2' then 'female' end as gender,
        nullif(external_contact ->> '$.position', '') as position,
        nullif(external_contact ->> '$.corp_name', '') as corp_name,
        follow_info ->> '$.remark_mobiles[0]' as remark_phone,
        nullif(follow_info ->> '$.state', '') as state,
        follow_info -> '$.tag_id' as tag_ids
    from source
)

select * from final
