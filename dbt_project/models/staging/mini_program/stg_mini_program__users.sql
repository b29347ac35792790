-- One row is one mini program user on one day of use.
{{ config(enabled=is_active('mini_program')) }}

with source as (
    select * from {{ source('raw', 'mini_program__users') }}
),

final as (
    select
        'mini_program.users:' || openid as record_id,
        _cdp_sequence as sequence,
        last_seen_at at time zone 'UTC' as observed_at,
        openid,
        nullif(unionid, '') as unionid,
        -- the phone comes with or without its country code, which stands beside it
        case
            when nullif(phone, '') is null then null
            when phone like '+%' or phone like '00%' then phone
            when coalesce(country_code, '') <> '' and not starts_with(phone, country_code) then '+' || country_code || phone
            when coalesce(country_code, '') <> '' and length(phone) > 11 then '+' || phone
            else phone
        end as phone,
        nickname,
        registered_at at time zone 'UTC' as registered_at,
        last_seen_at at time zone 'UTC' as last_seen_at,
        scene
    from source
)

select * from final
