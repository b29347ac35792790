-- Who has a grade that stands for a stage of the life cycle and may enter it: to be told to the CRM, whose answer then comes
-- back as a change of stage. One row is one person, score and stage.
{{ config(materialized='view') }}

with graded as (
    select
        scores.person_id,
        scores.score,
        scores.grade,
        scores.points,
        grades.stage_model as model,
        grades.stage
    from {{ ref('person_score') }} as scores
    inner join {{ ref('score_grade') }} as grades
        on scores.score = grades.score
        and scores.grade = grades.grade
        and grades.level = 'person'
    where grades.stage is not null
),

placed as (
    select
        graded.*,
        coalesce(lifecycle.stage, 'start') as current_stage
    from graded
    left join {{ ref('person_lifecycle') }} as lifecycle
        on graded.person_id = lifecycle.person_id
        and graded.model = lifecycle.model
),

final as (
    select placed.*
    from placed
    inner join {{ ref('lifecycle_transition') }} as transitions
        on placed.model = transitions.model
        and placed.current_stage = transitions.from_stage
        and placed.stage = transitions.to_stage
)

select * from final
