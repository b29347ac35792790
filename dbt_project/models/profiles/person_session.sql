-- Visits on site, in the app and in the mini program. One row is one session: events of one person and channel without a
-- pause of more than 30 minutes, and of one campaign (the rule of Google's Universal Analytics:
-- https://support.google.com/analytics/answer/2731565).
{% set pause_minutes = 30 %}

with events as (
    select
        person_id,
        channel,
        event_key,
        event_name,
        occurred_at,
        page_path,
        utm_source,
        utm_medium,
        utm_campaign,
        nullif(concat_ws('/', utm_source, utm_medium, utm_campaign), '') as campaign_key,
        -- a referrer of the same site says nothing of where the visit came from
        case
            when nullif(regexp_extract(referrer, '^https?://(?:www\.)?([^/:?#]+)', 1), '')
                <> coalesce(regexp_extract(page_url, '^https?://(?:www\.)?([^/:?#]+)', 1), '')
                then regexp_extract(referrer, '^https?://(?:www\.)?([^/:?#]+)', 1)
        end as referrer_domain
    from {{ ref('person_event') }}
    where channel in ('web', 'app', 'mini_program')
        and event_type in ('page', 'screen', 'track')
        and occurred_at <= {{ as_of() }}
),

compared as (
    select
        *,
        lag(occurred_at) over visit as previous_at,
        last_value(campaign_key ignore nulls) over (
            partition by person_id, channel order by occurred_at, event_key
            rows between unbounded preceding and 1 preceding
        ) as previous_campaign_key
    from events
    window visit as (partition by person_id, channel order by occurred_at, event_key)
),

numbered as (
    select
        *,
        count(*) filter (
            where previous_at is null
                or occurred_at > previous_at + interval {{ pause_minutes }} minute
                or (campaign_key is not null and campaign_key is distinct from previous_campaign_key)
        ) over (partition by person_id, channel order by occurred_at, event_key) as visit_number
    from compared
),

sessions as (
    select
        person_id,
        channel,
        min(event_key) as any_event_key,
        min(occurred_at) as started_at,
        max(occurred_at) as ended_at,
        count(*) as event_count,
        count(*) filter (where event_name in ('Page Viewed', 'Screen Viewed')) as page_view_count,
        arg_min(page_path, row(occurred_at, event_key)) filter (where page_path is not null) as entry_page_path,
        arg_max(page_path, row(occurred_at, event_key)) filter (where page_path is not null) as exit_page_path,
        arg_min(
            { 'source': utm_source, 'medium': utm_medium, 'campaign': utm_campaign }, row(occurred_at, event_key)
        ) filter (where campaign_key is not null) as touch,
        arg_min(referrer_domain, row(occurred_at, event_key)) filter (where referrer_domain is not null) as referrer_domain
    from numbered
    group by
        person_id,
        channel,
        visit_number
),

final as (
    select
        md5(any_event_key) as session_key,
        person_id,
        channel,
        started_at,
        ended_at,
        date_diff('second', started_at, ended_at) as duration_seconds,
        row_number() over (partition by person_id order by started_at, any_event_key) as session_number,
        row_number() over (partition by person_id order by started_at desc, any_event_key desc) - 1 as sessions_ago,
        event_count,
        page_view_count,
        event_count = 1 as is_bounce,
        entry_page_path,
        exit_page_path,
        coalesce(touch.source, referrer_domain, 'direct') as touch_source,
        coalesce(touch.medium, case when touch is null and referrer_domain is not null then 'referral' end) as touch_medium,
        touch.campaign as touch_campaign
    from sessions
)

select * from final
