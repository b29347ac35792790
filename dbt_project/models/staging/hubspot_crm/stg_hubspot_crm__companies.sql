-- One row is one version of a HubSpot company.
{{ config(enabled=is_active('hubspot_crm')) }}

with source as (
    select * from {{ source('raw', 'hubspot_crm__companies') }}
),

final as (
    select
        'hubspot_crm.companies:' || id as record_id,
        _cdp_sequence as sequence,
        coalesce(updated_at, created_at) at time zone 'UTC' as observed_at,
        id as company_id,
        properties ->> '$.name' as name,
        nullif(lower(properties ->> '$.domain'), '') as domain,
        properties ->> '$.industry' as industry,
        try_cast(properties ->> '$.numberofemployees' as bigint) as employees,
        properties ->> '$.country' as country,
        created_at at time zone 'UTC' as created_at
    from source
)

select * from final
