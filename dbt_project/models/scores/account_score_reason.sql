-- Why an account has its score: the points of its best persons. One row is one account, score and person that counts; the row
-- without a person takes back what is above the account's cap.
{{ config(materialized='view') }}

with scored as (
    select
        person.account_key,
        scores.score,
        scores.person_id,
        scores.points,
        accounts.top,
        accounts.cap
    from {{ ref('person_score') }} as scores
    inner join {{ ref('score_account') }} as accounts on scores.score = accounts.score
    inner join {{ ref('person') }} as person on scores.person_id = person.person_id
    where person.account_key is not null
),

best as (
    select *
    from scored
    qualify row_number() over (partition by account_key, score order by points desc, person_id asc) <= top
),

over_cap as (
    select
        account_key,
        score,
        cast(null as varchar) as person_id,
        cast(min(cap) - sum(points) as decimal(18, 2)) as points
    from best
    group by
        account_key,
        score
    having sum(points) > min(cap)
),

final as (
    select
        account_key,
        score,
        person_id,
        points
    from best
    union all
    select * from over_cap
)

select * from final
