-- Persons that hold more of an identifier than its limit: what overrides brought together. One row is one person and type.
{{ config(materialized='view') }}

with identifiers as (
    select * from {{ ref('person_identifier') }}
),

types as (
    select * from {{ ref('identifier_types') }}
    where max_per_person is not null
        and max_period is null
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
