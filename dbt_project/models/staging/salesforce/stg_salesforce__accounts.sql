-- One row is one version of a Salesforce account.
{{ config(enabled=is_active('salesforce')) }}

with source as (
    select * from {{ source('raw', 'salesforce__accounts') }}
),

final as (
    select
        'salesforce.accounts:' || id as record_id,
        _cdp_sequence as sequence,
        system_modstamp at time zone 'UTC' as observed_at,
        id as account_id,
        name,
        nullif(regexp_replace(lower(website), '^https?://(www\.)?|/.*$', '', 'g'), '') as domain,
        parent_id as parent_account_id,
        industry,
        number_of_employees as employees,
        billing_country as country,
        created_date at time zone 'UTC' as created_at
    from source
)

select * from final
