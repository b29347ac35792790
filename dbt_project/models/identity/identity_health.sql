-- How identifiers lie on persons. One row is one identifier type (or `all`) and one number of values per person.
with identifiers as (
    select * from {{ ref('person_identifier') }}
),

by_type as (
    select
        person_id,
        identifier_type,
        count(*) as identifier_count
    from identifiers
    group by person_id, identifier_type
),

by_person as (
    select
        person_id,
        'all' as identifier_type,
        count(*) as identifier_count
    from identifiers
    group by person_id
),

final as (
    select
        identifier_type,
        identifier_count,
        count(*) as person_count
    from (
        select * from by_type
        union all
        select * from by_person
    ) as counted
    group by identifier_type, identifier_count
)

select * from final
