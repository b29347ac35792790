-- Accounts of the CRM, and company names as people wrote them, for matching. One row is one account (record_id account:<key>) or one
-- cleaned name (record_id name:<name>) with the mail domain that was seen beside it most often.
-- A view: it costs nothing while no matching model is active.
{{ config(materialized='view') }}

with accounts as (
    select * from {{ ref('account_record') }}
),

written as (
    select
        sequence,
        {{ cleaned('company', 'attribute_value') }} as name
    from {{ ref('contact_attribute') }}
    where attribute = 'company_name'
),

domains as (
    select
        sequence,
        split_part(identifier_value, '@', 2) as domain
    from {{ ref('identifier_observation') }}
    where identifier_type = 'email'
        and split_part(identifier_value, '@', 2) not in (select free.domain from {{ ref('free_mail_domains') }} as free)
),

beside as (
    select
        written.name,
        domains.domain,
        count(domains.domain) as seen
    from written
    left join domains on written.sequence = domains.sequence
    where written.name is not null
    group by written.name, domains.domain
),

names as (
    select
        name,
        domain
    from beside
    qualify row_number() over (partition by name order by seen desc, domain asc nulls last) = 1
),

final as (
    select
        'account:' || account_key as record_id,
        {{ cleaned('company', 'name') }} as name,
        {{ cleaned('domain', 'domain') }} as domain
    from accounts
    union all
    select
        'name:' || name as record_id,
        name,
        domain
    from names
)

select * from final
