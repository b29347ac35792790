-- One row is one version of a HubSpot contact.
{{ config(enabled=is_active('hubspot_crm')) }}

with source as (
    select
        *,
        json_extract_string(properties, [
            '$.email', '$.phone', '$.firstname', '$.lastname', '$.jobtitle', '$.company', '$.associatedcompanyid'
        ]) as property
    from {{ source('raw', 'hubspot_crm__contacts') }}
),

final as (
    select
        'hubspot_crm.contacts:' || id as record_id,
        _cdp_sequence as sequence,
        coalesce(updated_at, created_at) at time zone 'UTC' as observed_at,
        -- numbers of other CRMs may be the same
        'hubspot:' || id as contact_id,
        nullif(property[1], '') as email,
        nullif(property[2], '') as phone,
        nullif(property[3], '') as first_name,
        nullif(property[4], '') as last_name,
        nullif(property[5], '') as job_title,
        nullif(property[6], '') as company_name,
        nullif(property[7], '') as company_id
    from source
    where not coalesce(archived, false)
)

select * from final
