-- One row is one campaign of one platform on one day as a report told it. Numbers are written 1,234.50.
{{ config(enabled=is_active('ad_reports')) }}

with google as (
    select
        'google' as platform,
        currency,
        * exclude (currency)
    from {{ source('raw', 'ad_reports__google') }}
),

meta as (
    select
        'meta' as platform,
        currency,
        * exclude (currency)
    from {{ source('raw', 'ad_reports__meta') }}
),

ocean_engine as (
    select
        'oceanengine' as platform,
        'CNY' as currency,
        *
    from {{ source('raw', 'ad_reports__ocean_engine') }}
),

united as (
    select * from google
    union all by name
    select * from meta
    union all by name
    select * from ocean_engine
),

final as (
    select
        'ad_reports.' || platform || ':' || day || '/' || campaign_id as record_id,
        _cdp_sequence as sequence,
        day::timestamp as observed_at,
        day as spend_on,
        platform,
        campaign_id,
        campaign,
        try_cast(replace(impressions, ',', '') as bigint) as impressions,
        try_cast(replace(clicks, ',', '') as bigint) as clicks,
        try_cast(replace(cost, ',', '') as decimal(18, 4)) as amount,
        currency
    from united
)

select * from final
