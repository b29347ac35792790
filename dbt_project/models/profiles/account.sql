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

parents as (
    select * from {{ ref('account_parent') }}
),

groups as (
    select
        account_key,
        max(distance) as group_depth,
        arg_max(ancestor_key, distance) as ultimate_account_key
    from {{ ref('account_hierarchy') }}
    group by account_key
),

-- a group's figures: those of the account and of all below it
totals as (
    select
        above.ancestor_key as account_key,
        count(*) - 1 as subsidiary_count,
        sum(persons.person_count) as person_count,
        sum(deals.open_opportunity_count) as open_opportunity_count,
        sum(deals.won_value) as won_value
    from {{ ref('account_hierarchy') }} as above
    left join persons on above.account_key = persons.account_key
    left join deals on above.account_key = deals.account_key
    group by above.ancestor_key
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
        coalesce(deals.won_value, 0)::decimal(18, 4) as won_value,
        parents.is_parent_cut,
        groups.ultimate_account_key,
        groups.group_depth,
        totals.subsidiary_count,
        coalesce(totals.person_count, 0)::bigint as group_person_count,
        coalesce(totals.open_opportunity_count, 0)::bigint as group_open_opportunity_count,
        coalesce(totals.won_value, 0)::decimal(18, 4) as group_won_value
    from accounts
    inner join parents on accounts.account_key = parents.account_key
    inner join groups on accounts.account_key = groups.account_key
    inner join totals on accounts.account_key = totals.account_key
    left join persons on accounts.account_key = persons.account_key
    left join deals on accounts.account_key = deals.account_key
)

select * from final
