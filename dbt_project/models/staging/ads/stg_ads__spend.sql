-- One row is one campaign of one platform on one day, as it arrived.
{{ config(enabled=is_active('ads')) }}

with source as (
    select * from {{ source('raw', 'ads__spend') }}
),

final as (
    select
        'ads.spend:' || strftime(date, '%Y-%m-%d') || '/' || platform || '/' || campaign_id as record_id,
        _cdp_sequence as sequence,
        date::timestamp as observed_at,
        date as spend_on,
        platform,
        campaign_id,
        campaign,
        impressions,
        clicks,
        cost,
        currency
    from source
)

select * from final
