-- One row is one version of a HubSpot deal. Stages are those of the default pipeline.
{{ config(enabled=is_active('hubspot_crm')) }}

with source as (
    select
        *,
        json_extract_string(properties, [
            '$.dealstage', '$.amount', '$.deal_currency_code', '$.closedate', '$.hs_primary_associated_company'
        ]) as property
    from {{ source('raw', 'hubspot_crm__deals') }}
),

final as (
    select
        'hubspot_crm.deals:' || id as record_id,
        _cdp_sequence as sequence,
        coalesce(updated_at, created_at) at time zone 'UTC' as observed_at,
        id as deal_id,
        nullif(property[5], '') as company_id,
        case property[1] when 'closedwon' then 'won' when 'closedlost' then 'lost' else 'opportunity' end as stage,
        created_at at time zone 'UTC' as created_at,
        case when property[1] in ('closedwon', 'closedlost') then try_cast(property[4] as timestamptz) at time zone 'UTC' end as closed_at,
        try_cast(property[2] as decimal(18, 4)) as amount,
        nullif(property[3], '') as currency
    from source
)

select * from final
