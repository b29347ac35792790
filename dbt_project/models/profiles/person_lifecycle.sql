-- The stage that a person is in. One row is one person and life-cycle model.
{{ config(materialized='view') }}

with changes as (
    select * from {{ ref('person_lifecycle_change') }}
),

final as (
    select
        person_id,
        model,
        stage,
        entered_at
    from changes
    where left_at is null
)

select * from final
