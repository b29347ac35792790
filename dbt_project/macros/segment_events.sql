{#-
Staging of events in Segment's shape (https://segment.com/docs/connections/spec). One row is one raw row.
Each JSON document is parsed once a row, for a list of paths: one extraction a column costs a parse each.
Without `channel` the rows say it themselves (the collector's), and have the previous id of aliases.
-#}
{% macro segment_events(source_name, record_table, channel=none) %}
with source as (
    {{ enforced(source_name, record_table) }}
),

parsed as (
    select
        _cdp_sequence,
        message_id,
        type,
        event,
        name,
        user_id,
        anonymous_id,
        group_id,
        {% if not channel %}channel, previous_id,{% endif %}
        "timestamp",
        received_at,
        properties,
        case
            when type <> 'identify' then json_extract_string(properties, [
                '$.path', '$.url', '$.referrer', '$.product_id', '$.order_id', '$.revenue', '$.total', '$.price', '$.currency'
            ])
        end as property,
        case
            when event = 'Form Submitted' then json_extract_string(properties, ['$.email', '$.phone', '$.company'])
        end as form,
        -- the traits of a group call describe the company (Segment's spec: Group), not the person who makes it
        case
            when type <> 'group' then json_extract_string(traits, [
                '$.email', '$.phone', '$.firstName', '$.lastName', '$.name', '$.company', '$.title'
            ])
        end as trait,
        case when type = 'group' then json_extract_string(traits, '$.name') end as group_name,
        json_extract_string(context, [
            '$.page.path', '$.page.url', '$.page.referrer', '$.campaign.source', '$.campaign.medium', '$.campaign.name',
            '$.device.id', '$.locale', '$.userAgent'
        ]) as context_value
    from source
),

final as (
    select
        '{{ source_name }}.{{ record_table }}:' || message_id as record_id,
        _cdp_sequence as sequence,
        "timestamp" at time zone 'UTC' as observed_at,
        received_at at time zone 'UTC' as received_at,
        message_id,
        type as event_type,
        case
            when type = 'track' then event
            when type = 'page' then 'Page Viewed'
            when type = 'screen' then 'Screen Viewed'
            when type = 'identify' then 'Identified'
            when type = 'group' then 'Grouped'
            else type
        end as event_name,
        nullif(user_id, '') as user_id,
        nullif(anonymous_id, '') as anonymous_id,
        nullif(group_id, '') as group_id,
        {% if channel %}'{{ channel }}' as channel,{% else %}channel, nullif(previous_id, '') as previous_id,{% endif %}
        coalesce(trait[1], form[1]) as email,
        coalesce(trait[2], form[2]) as phone,
        trait[3] as first_name,
        trait[4] as last_name,
        trait[5] as full_name,
        coalesce(trait[6], form[3], group_name) as company_name,
        trait[7] as job_title,
        case when type = 'identify' then context_value[8] end as language,
        context_value[7] as device_id,
        coalesce(property[1], context_value[1], case when type = 'screen' then '/' || name end) as page_path,
        coalesce(property[2], context_value[2]) as page_url,
        nullif(coalesce(property[3], context_value[3]), '') as referrer,
        context_value[4] as utm_source,
        context_value[5] as utm_medium,
        context_value[6] as utm_campaign,
        property[4] as product_id,
        property[5] as order_id,
        try_cast(coalesce(property[6], property[7], property[8]) as decimal(18, 4)) as revenue,
        property[9] as currency,
        regexp_matches(coalesce(context_value[9], ''), '(?i)(bot|crawl|spider|slurp|headless)') as is_bot,
        properties,
        nullif(
            regexp_extract(coalesce(property[2], context_value[2]), '[?&](?:gclid|bd_vid|fbclid|ttclid|li_fat_id)=([^&#]+)', 1), ''
        ) as click_id
    from parsed
)

select * from final
{% endmacro %}
