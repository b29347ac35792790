-- One row is one customer organisation.
{{ config(enabled=is_active('maven_crm')) }}

with source as (
    select * from {{ source('raw', 'maven_crm__accounts') }}
),

names as (
    select
        account,
        min(account_id) as account_id
    from source
    group by account
),

final as (
    select
        'maven_crm.accounts:' || source.account_id as record_id,
        source._cdp_sequence as sequence,
        null::timestamp as observed_at,
        source.account_id,
        source.account as name,
        parents.account_id as parent_account_id,
        -- the file misspells one sector throughout
        replace(source.sector, 'technolgy', 'technology') as industry,
        source.employees,
        source.office_location as country
    from source
    left join names as parents on source.subsidiary_of = parents.account
)

select * from final
