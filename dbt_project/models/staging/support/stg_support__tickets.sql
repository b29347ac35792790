-- One row is one version of a help desk ticket.
{{ config(enabled=is_active('support')) }}

with source as (
    select * from {{ source('raw', 'support__tickets') }}
),

final as (
    select
        'support.tickets:' || id as record_id,
        _cdp_sequence as sequence,
        updated_at at time zone 'UTC' as observed_at,
        id::varchar as ticket_id,
        requester ->> '$.email' as email,
        requester ->> '$.phone' as phone,
        requester ->> '$.name' as name,
        channel,
        created_at at time zone 'UTC' as created_at,
        json_object('priority', priority, 'status', status, 'csat', csat, 'channel', channel) as properties
    from source
)

select * from final
