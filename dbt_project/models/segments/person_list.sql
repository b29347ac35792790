-- Who is on which list that people keep by hand. One row is one row of the seed; person_id is null when nobody has the identifier.
{{ config(materialized='view') }}

with rows_added as (
    select
        trim(list) as list,
        identifier_type,
        case
            when identifier_type = 'email' then lower(trim(identifier_value)) else trim(identifier_value)
        end as identifier_value,
        added_by,
        added_at
    from {{ ref('person_lists') }}
    where added_at <= {{ as_of() }}
),

final as (
    select
        rows_added.list,
        person_identifier.person_id,
        rows_added.identifier_type,
        rows_added.added_by,
        rows_added.added_at
    from rows_added
    left join {{ ref('person_identifier') }} as person_identifier
        on rows_added.identifier_type = person_identifier.identifier_type
        and rows_added.identifier_value = person_identifier.identifier_value
)

select * from final
