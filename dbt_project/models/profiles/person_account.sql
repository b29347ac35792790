-- Which account a person belongs to: by the strongest rule, the one that the latest record names. One row is one person.
with evidence as (
    select * from {{ ref('account_evidence') }}
),

final as (
    select
        person_id,
        account_key,
        split_part(record_id, '.', 1) as source,
        record_id,
        rule
    from evidence
    qualify row_number() over (partition by person_id order by priority asc, sequence desc, account_key asc) = 1
)

select * from final
