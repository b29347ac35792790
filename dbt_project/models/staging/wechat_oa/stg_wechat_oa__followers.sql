-- One row is one follower of the official account as one read told.
{{ config(enabled=is_active('wechat_oa')) }}

with source as (
    select * from {{ source('raw', 'wechat_oa__followers') }}
),

final as (
    select
        'wechat_oa.followers:' || openid as record_id,
        _cdp_sequence as sequence,
        to_timestamp(subscribe_time) at time zone 'UTC' as observed_at,
        openid,
        nullif(unionid, '') as unionid,
        subscribe = 1 as is_subscribed,
        nickname,
        language,
        city,
        subscribe_scene,
        nullif(qr_scene_str, '') as qr_scene_str
    from source
)

select * from final
