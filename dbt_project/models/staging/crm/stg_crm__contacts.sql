-- One row is one version of a CRM contact.
{{ config(enabled=is_active('crm')) }}

with source as (
    select * from {{ source('raw', 'crm__contacts') }}
),

final as (
    select
        'crm.contacts:' || id as record_id,
        _cdp_sequence as sequence,
        updated_at at time zone 'UTC' as observed_at,
        id as contact_id,
        nullif(account_id, '') as account_id,
        first_name,
        last_name,
        email,
        phone,
        title,
        owner,
        wecom_external_userid,
        created_at at time zone 'UTC' as created_at
    from source
)

select * from final
