-- One row is one event as it arrived (repeats included).
{{ config(enabled=is_active('snowplow_web')) }}

with source as (
    select * from {{ source('raw', 'snowplow_web__events') }}
),

final as (
    select
        'snowplow_web.events:' || event_id as record_id,
        _cdp_sequence as sequence,
        derived_tstamp at time zone 'UTC' as observed_at,
        collector_tstamp at time zone 'UTC' as received_at,
        event_id,
        case when event = 'page_view' then 'page' else 'track' end as event_type,
        case when event = 'page_view' then 'Page Viewed' when event = 'page_ping' then 'Page Pinged' else event_name end as event_name,
        nullif(user_id, '') as user_id,
        nullif(domain_userid, '') as domain_userid,
        nullif(page_urlpath, '') as page_path,
        nullif(page_url, '') as page_url,
        nullif(page_referrer, '') as referrer,
        nullif(mkt_source, '') as mkt_source,
        nullif(mkt_medium, '') as mkt_medium,
        nullif(mkt_campaign, '') as mkt_campaign,
        regexp_matches(coalesce(useragent, ''), '(?i)(bot|crawl|spider|slurp|headless)') as is_bot,
        json_object('session_id', domain_sessionid) as properties
    from source
)

select * from final
