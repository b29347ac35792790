-- Which account a person belongs to: the one that the latest record names. One row is one person.
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
    select account_key
    from {{ ref('account_record') }}
),

final as (
    select
        records.person_id,
        members.account_key,
        members.source,
        members.record_id
    from members
    inner join records on members.sequence = records.sequence
    inner join accounts on members.account_key = accounts.account_key
    qualify row_number() over (partition by records.person_id order by members.sequence desc, members.record_id asc) = 1
)

select * from final
