-- Persons that hold more of an identifier than its limit. One row is one person and type; to be empty but for what the
-- sources contradict themselves in, and read together with the shared identifiers.
with identifiers as (
    select * from {{ ref('person_identifier') }}
),

types as (
    select * from {{ ref('identifier_types') }}
    where max_per_person is not null
),

final as (
    select
        identifiers.person_id,
        identifiers.identifier_type,
        count(*) as identifier_count,
        types.max_per_person
    from identifiers
    inner join types on identifiers.identifier_type = types.name
    group by identifiers.person_id, identifiers.identifier_type, types.max_per_person
    having count(*) > types.max_per_person
)

select * from final
