-- Scores of accounts with their grade. One row is one account and score.
{{ config(materialized='view') }}

with reasons as (
    select
        account_key,
        score,
        cast(sum(points) as decimal(18, 2)) as points,
        count(person_id) as person_count
    from {{ ref('account_score_reason') }}
    group by
        account_key,
        score
),

final as (
    select
        reasons.account_key,
        reasons.score,
        reasons.points,
        grades.grade,
        reasons.person_count
    from reasons
    left join {{ ref('score_grade') }} as grades
        on reasons.score = grades.score
        and grades.level = 'account'
        and (grades.at_least is null or reasons.points >= grades.at_least)
    qualify row_number() over (partition by reasons.account_key, reasons.score order by grades.position) = 1
)

select * from final
