-- The person of each raw row. One row is one raw row (sequence); rows without a usable identifier are not in it.
with records as (
    select * from {{ ref('record_identifier') }}
),

persons as (
    select
        identifier_key,
        person_id
    from {{ ref('person_identifier') }}
),

final as (
    select
        records.sequence,
        records.record_id,
        records.source,
        persons.person_id
    from records
    inner join persons on records.identifier_key = persons.identifier_key
)

select * from final
