{#- Staging of events in Segment's shape (https://segment.com/docs/connections/spec). One row is one raw row. -#}
{% macro segment_events(source_name, record_table, channel) %}
with source as (
    select * from {{ source('raw', source_name ~ '__' ~ record_table) }}
),

renamed as (
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
        '{{ channel }}' as channel,
        coalesce(traits ->> '$.email', case when event = 'Form Submitted' then properties ->> '$.email' end) as email,
        coalesce(traits ->> '$.phone', case when event = 'Form Submitted' then properties ->> '$.phone' end) as phone,
        traits ->> '$.firstName' as first_name,
        traits ->> '$.lastName' as last_name,
        traits ->> '$.name' as full_name,
        coalesce(traits ->> '$.company', case when event = 'Form Submitted' then properties ->> '$.company' end) as company_name,
        traits ->> '$.title' as job_title,
        case when type = 'identify' then context ->> '$.locale' end as language,
        context ->> '$.device.id' as device_id,
        coalesce(properties ->> '$.path', context ->> '$.page.path', case when type = 'screen' then '/' || name end) as page_path,
        coalesce(properties ->> '$.url', context ->> '$.page.url') as page_url,
        nullif(coalesce(properties ->> '$.referrer', context ->> '$.page.referrer'), '') as referrer,
        context ->> '$.campaign.source' as utm_source,
        context ->> '$.campaign.medium' as utm_medium,
        context ->> '$.campaign.name' as utm_campaign,
        properties ->> '$.product_id' as product_id,
        properties ->> '$.order_id' as order_id,
        try_cast(coalesce(properties ->> '$.revenue', properties ->> '$.total', properties ->> '$.price') as decimal(18, 4)) as revenue,
        properties ->> '$.currency' as currency,
        regexp_matches(coalesce(context ->> '$.userAgent', ''), '(?i)(bot|crawl|spider|slurp|headless)') as is_bot,
        properties
    from source
),

final as (
    select
        *,
        nullif(regexp_extract(page_url, '[?&](?:gclid|bd_vid|fbclid|ttclid|li_fat_id)=([^&#]+)', 1), '') as click_id
    from renamed
)

select * from final
{% endmacro %}
