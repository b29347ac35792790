-- One row is one version of a Salesforce opportunity; amounts are in the organisation's currency.
{{ config(enabled=is_active('salesforce')) }}

with source as (
    select * from {{ source('raw', 'salesforce__opportunities') }}
),

final as (
    select
        'salesforce.opportunities:' || id as record_id,
        _cdp_sequence as sequence,
        system_modstamp at time zone 'UTC' as observed_at,
        id as opportunity_id,
        account_id,
        case when is_won then 'won' when is_closed then 'lost' else 'opportunity' end as stage,
        created_date at time zone 'UTC' as created_at,
        case when is_closed then close_date::timestamp end as closed_at,
        try_cast(amount as decimal(18, 4)) as amount
    from source
)

select * from final
