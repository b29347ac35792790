-- One row is one opportunity. Dates are written m/d/yy.
{{ config(enabled=is_active('maven_crm')) }}

with source as (
    select * from {{ source('raw', 'maven_crm__sales_pipeline') }}
),

final as (
    select
        'maven_crm.sales_pipeline:' || opportunity_id as record_id,
        _cdp_sequence as sequence,
        try_strptime(engage_date, '%m/%d/%y') as observed_at,
        opportunity_id,
        nullif(account_id, '') as account_id,
        case lower(deal_stage)
            when 'prospecting' then 'opportunity'
            when 'engaging' then 'proof_of_concept'
            else lower(deal_stage)
        end as stage,
        -- "GTXPro" in the pipeline is "GTX Pro" in the price list
        replace(product, 'GTXPro', 'GTX Pro') as product,
        try_strptime(engage_date, '%m/%d/%y') as created_at,
        try_strptime(close_date, '%m/%d/%y') as closed_at,
        close_value as amount
    from source
)

select * from final
