-- One row is one version of a Salesforce contact.
{{ config(enabled=is_active('salesforce')) }}

with source as (
    select * from {{ source('raw', 'salesforce__contacts') }}
),

final as (
    select
        'salesforce.contacts:' || id as record_id,
        _cdp_sequence as sequence,
        system_modstamp at time zone 'UTC' as observed_at,
        'salesforce:' || id as contact_id,
        account_id,
        first_name,
        last_name,
        email,
        phone,
        title
    from source
)

select * from final
