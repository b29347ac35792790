-- One row is one version of a CRM lead.
{{ config(enabled=is_active('crm')) }}

with source as (
    select * from {{ source('raw', 'crm__leads') }}
),

final as (
    select
        'crm.leads:' || id as record_id,
        _cdp_sequence as sequence,
        updated_at at time zone 'UTC' as observed_at,
        id as lead_id,
        first_name,
        last_name,
        email,
        phone,
        company,
        title,
        source as lead_source,
        campaign,
        replace(lower(status), ' ', '_') as stage,
        converted_contact_id,
        created_at at time zone 'UTC' as created_at
    from source
)

select * from final
