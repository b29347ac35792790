-- Account profiles with what their people and deals add up to. One row is one account.
with accounts as (
    select * from {{ ref('account_record') }}
),

persons as (
    select
        account_key,
        count(*) as person_count
    from {{ ref('person_account') }}
    group by account_key
),

deals as (
    select
        account_key,
        count(*) filter (where object_type = 'opportunity' and stage not in ('won', 'lost')) as open_opportunity_count,
        count(*) filter (where is_won) as won_opportunity_count,
        sum(value) filter (where is_won) as won_value
    from {{ ref('person_lead') }}
    group by account_key
),

final as (
    select
        accounts.account_key,
        accounts.account_id,
        accounts.source,
        accounts.name,
        accounts.domain,
        accounts.parent_account_key,
        accounts.industry,
        accounts.employees,
        accounts.country,
        coalesce(persons.person_count, 0) as person_count,
        coalesce(deals.open_opportunity_count, 0) as open_opportunity_count,
        coalesce(deals.won_opportunity_count, 0) as won_opportunity_count,
        coalesce(deals.won_value, 0)::decimal(18, 4) as won_value
    from accounts
    left join persons on accounts.account_key = persons.account_key
    left join deals on accounts.account_key = deals.account_key
)

select * from final
