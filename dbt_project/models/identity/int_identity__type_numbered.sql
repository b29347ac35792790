-- Identifier types with a number for joins. One row is one type.
{{ config(materialized='view') }}

select
    name,
    row_number() over (order by name) as type_no,
    dense_rank() over (order by priority) as strength,
    priority,
    tier,
    max_per_person,
    max_period,
    level,
    shared_above,
    coalesce(max_per_person = 1 and max_period is null, false) as decides_sharing
from {{ ref('identifier_types') }}
