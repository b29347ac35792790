-- People of accounts where several people are active at once: a decision is being prepared. Looks at other persons of the
-- account, which an expression cannot. One row is one person.
{% set least_active_persons = 3 %}
{% set window_days = 30 %}

with active as (
    select distinct
        person.person_id,
        person.account_key
    from {{ ref('person') }} as person
    inner join {{ ref('audience') }} as audience on person.person_id = audience.person_id
    inner join {{ ref('person_event') }} as person_event on person.person_id = person_event.person_id
    where person.account_key is not null
        and person_event.channel in ('web', 'app', 'fair')
        and person_event.occurred_at <= {{ as_of() }}
        and person_event.occurred_at > {{ as_of() }} - interval {{ window_days }} day
),

busy_accounts as (
    select account_key
    from active
    group by account_key
    having count(*) >= {{ least_active_persons }}
),

final as (
    select active.person_id
    from active
    inner join busy_accounts on active.account_key = busy_accounts.account_key
)

select * from final
