-- One row is one click on an ad.
{{ config(enabled=is_active('ads')) }}

with source as (
    select * from {{ source('raw', 'ads__clicks') }}
),

final as (
    select
        'ads.clicks:' || click_id as record_id,
        _cdp_sequence as sequence,
        clicked_at at time zone 'UTC' as observed_at,
        click_id,
        platform,
        campaign_id,
        campaign,
        adgroup,
        keyword,
        landing_url,
        anonymous_id
    from source
)

select * from final
