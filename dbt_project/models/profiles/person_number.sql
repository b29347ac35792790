-- A number for each person, for tables with tens of millions of rows about persons: numbers pack to a fraction of a person_id, and
-- join several times faster. One row is one person who is or was. A number is given once and never again, also when the person has become
-- somebody else; it says nothing, differs from warehouse to warehouse, and leaves none of them.
{{ config(
    materialized='incremental', incremental_strategy='append', on_schema_change='fail',
    full_refresh=var('reset_person_numbers', false)
) }}

with persons as (
    select person_id from {{ ref('person') }}
),

known as (
    {% if is_incremental() %}
    select
        person_id,
        person_number
    from {{ this }}
    {% else %}
    select
        cast(null as varchar) as person_id,
        cast(null as bigint) as person_number
    where false
    {% endif %}
),

latest as (
    select coalesce(max(person_number), 0) as person_number
    from known
),

final as (
    select
        persons.person_id,
        latest.person_number + row_number() over (order by persons.person_id) as person_number
    from persons
    anti join known on persons.person_id = known.person_id
    cross join latest
)

select * from final
