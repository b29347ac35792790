-- What brought a person to us first and last, and how often they came. One row is one person with a session.
with sessions as (
    select
        *,
        { 'source': touch_source, 'medium': touch_medium, 'campaign': touch_campaign, 'at': started_at } as touch
    from {{ ref('person_session') }}
),

gathered as (
    select
        person_id,
        count(*) as session_count,
        count(*) filter (where started_at > {{ as_of() }} - interval 30 day) as session_count_30d,
        max(started_at) as last_session_at,
        sum(duration_seconds) as session_seconds,
        arg_min(touch, session_number) as first_touch,
        -- a direct visit takes no credit from the campaign or site before it
        arg_max(touch, session_number) filter (where touch_source <> 'direct') as last_indirect_touch,
        arg_max(touch, session_number) as last_visit
    from sessions
    group by person_id
),

final as (
    select
        person_id,
        session_count,
        session_count_30d,
        last_session_at,
        session_seconds::bigint as session_seconds,
        first_touch.source as first_touch_source,
        first_touch.medium as first_touch_medium,
        first_touch.campaign as first_touch_campaign,
        first_touch.at as first_touch_at,
        coalesce(last_indirect_touch, last_visit).source as last_touch_source,
        coalesce(last_indirect_touch, last_visit).medium as last_touch_medium,
        coalesce(last_indirect_touch, last_visit).campaign as last_touch_campaign,
        coalesce(last_indirect_touch, last_visit).at as last_touch_at
    from gathered
)

select * from final
