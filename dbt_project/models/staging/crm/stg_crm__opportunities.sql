-- One row is one version of a CRM opportunity.
{{ config(enabled=is_active('crm')) }}

with source as (
    select * from {{ source('raw', 'crm__opportunities') }}
),

final as (
    select
        'crm.opportunities:' || id as record_id,
        _cdp_sequence as sequence,
        updated_at at time zone 'UTC' as observed_at,
        id as opportunity_id,
        nullif(account_id, '') as account_id,
        primary_contact_id,
        name,
        amount,
        currency,
        replace(lower(stage), ' ', '_') as stage,
        created_at at time zone 'UTC' as created_at,
        closed_at at time zone 'UTC' as closed_at
    from source
)

select * from final
