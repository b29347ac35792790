-- One row is one version of a CRM account.
{{ config(enabled=is_active('crm')) }}

with source as (
    select * from {{ source('raw', 'crm__accounts') }}
),

final as (
    select
        'crm.accounts:' || id as record_id,
        _cdp_sequence as sequence,
        updated_at at time zone 'UTC' as observed_at,
        id as account_id,
        name,
        lower(nullif(trim(domain), '')) as domain,
        nullif(parent_account_id, '') as parent_account_id,
        industry,
        employees,
        country,
        created_at at time zone 'UTC' as created_at
    from source
)

select * from final
