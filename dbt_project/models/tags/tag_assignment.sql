-- What is said of a person now. One row is one person and tag; values that say nothing (false, no fact) have no row.
with assigned as (
    select * from {{ ref('int_tags__tags_unpivoted') }}
),

catalogue as (
    select * from {{ ref('tag') }}
),

final as (
    select
        assigned.person_id,
        assigned.tag,
        catalogue.value_type,
        assigned.value,
        assigned.since_at,
        catalogue.source
    from assigned
    inner join catalogue on assigned.tag = catalogue.tag
)

select * from final
