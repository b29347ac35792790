-- Scores of persons with their grade. One row is one person and score; who is eligible and has no reason has 0 points.
with eligible as (
    select * from {{ ref('int_scores__persons_eligible') }}
),

reasons as (
    select
        person_id,
        score,
        sum(points) as points,
        sum(points) filter (where dimension = 'fit') as fit,
        sum(points) filter (where dimension = 'interest') as interest,
        sum(points) filter (where dimension = 'intent') as intent
    from {{ ref('score_reason') }}
    group by
        person_id,
        score
),

summed as (
    select
        eligible.person_id,
        eligible.score,
        coalesce(reasons.points, 0) as points,
        coalesce(reasons.fit, 0) as fit,
        coalesce(reasons.interest, 0) as interest,
        coalesce(reasons.intent, 0) as intent
    from eligible
    left join reasons on eligible.person_id = reasons.person_id and eligible.score = reasons.score
),

-- the first grade in declared order whose threshold is reached; the last grade has none
graded as (
    select
        summed.*,
        grades.grade
    from summed
    left join {{ ref('score_grade') }} as grades
        on summed.score = grades.score
        and grades.level = 'person'
        and (grades.at_least is null or summed.points >= grades.at_least)
    qualify row_number() over (partition by summed.person_id, summed.score order by grades.position) = 1
),

final as (
    select
        person_id,
        score,
        cast(points as decimal(18, 2)) as points,
        grade,
        cast(fit as decimal(18, 2)) as fit,
        cast(interest as decimal(18, 2)) as interest,
        cast(intent as decimal(18, 2)) as intent
    from graded
)

select * from final
