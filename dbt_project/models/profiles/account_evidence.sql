-- What makes a person belong to an account (rules: seeds/accounts/account_rules.csv). One row is one person, account and rule,
-- with the latest record that says so. A domain or a name that stands for several accounts counts only where one of them
-- is above all others.
with members as (
    select * from {{ ref('account_member') }}
),

records as (
    select
        sequence,
        person_id
    from {{ ref('record_person') }}
),

accounts as (
    select
        account_key,
        {{ cleaned('domain', 'domain') }} as domain,
        {{ cleaned('company', 'name') }} as name
    from {{ ref('account_record') }}
),

tops as (
    select
        account_key,
        max(distance) as depth,
        arg_max(ancestor_key, distance) as ultimate_key
    from {{ ref('account_hierarchy') }}
    group by account_key
),

written as (
    select
        sequence,
        record_id,
        'email_domain' as rule,
        split_part(identifier_value, '@', 2) as value
    from {{ ref('identifier_observation') }}
    where identifier_type = 'email'
        and identifier_value is not null
    union all
    select
        sequence,
        record_id,
        'company_name' as rule,
        {{ cleaned('company', 'attribute_value') }} as value
    from {{ ref('contact_attribute') }}
    where attribute = 'company_name'
),

keys as (
    select
        'email_domain' as rule,
        domain as value,
        account_key
    from accounts
    where domain not in (select free.domain from {{ ref('free_mail_domains') }} as free)
    union all
    select
        'company_name' as rule,
        name as value,
        account_key
    from accounts
    where length(name) >= 2
),

ranked as (
    select
        keys.*,
        tops.ultimate_key,
        tops.depth = min(tops.depth) over (partition by keys.rule, keys.value) as is_topmost
    from keys
    inner join tops on keys.account_key = tops.account_key
),

-- subsidiaries often share a domain: then it stands for the one above them
owners as (
    select
        rule,
        value,
        min(account_key) filter (where is_topmost) as account_key
    from ranked
    group by rule, value
    having min(ultimate_key) = max(ultimate_key)
        and count(*) filter (where is_topmost) = 1
),

found as (
    select
        sequence,
        record_id,
        'named' as rule,
        account_key
    from members
    where account_key in (select accounts.account_key from accounts)
    union all
    select
        written.sequence,
        written.record_id,
        written.rule,
        owners.account_key
    from written
    inner join owners on written.rule = owners.rule and written.value = owners.value
    union all
    select
        written.sequence,
        written.record_id,
        'company_match' as rule,
        matches.account_key
    from written
    inner join {{ ref('account_match') }} as matches on written.rule = 'company_name' and written.value = matches.company_name
),

final as (
    select
        records.person_id,
        found.account_key,
        found.rule,
        rules.priority,
        max(found.sequence) as sequence,
        arg_max(found.record_id, { 'sequence': found.sequence, 'record': found.record_id }) as record_id,
        count(distinct found.sequence) as record_count
    from found
    inner join records on found.sequence = records.sequence
    inner join {{ ref('account_rules') }} as rules on found.rule = rules.rule
    where rules.is_active
    group by records.person_id, found.account_key, found.rule, rules.priority
)

select * from final
