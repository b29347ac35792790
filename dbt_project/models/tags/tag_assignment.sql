-- What is said of a person now. One row is one person and tag; values that say nothing (false, no fact) have no row.
-- A view over the wide table: forty tags of each of a million persons, written down, took as long as computing them.
{{ config(materialized='view') }}

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
