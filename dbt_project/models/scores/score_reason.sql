-- Why a score is what it is: the reasons of a person add up to the score. One row is one person, score, dimension and rule.
with evaluated as (
    select * from {{ ref('int_scores__rules_evaluated') }}
),

rules as (
    select * from {{ ref('score_rule') }}
),

capped as (
    select
        evaluated.person_id,
        evaluated.score,
        evaluated.rule,
        evaluated.dimension,
        cast(
            greatest(
                least(round(evaluated.points, 2), coalesce(rules.cap, 1e12)), -coalesce(rules.cap, 1e12)
            ) as decimal(18, 2)
        ) as points,
        evaluated.fact_count,
        evaluated.last_fact_at
    from evaluated
    inner join rules on evaluated.score = rules.score and evaluated.rule = rules.rule
),

-- what a dimension has above its cap is taken back in a row of its own
over_cap as (
    select
        capped.person_id,
        capped.score,
        'dimension_cap' as rule,
        capped.dimension,
        cast(min(dimensions.cap) - sum(capped.points) as decimal(18, 2)) as points,
        cast(0 as bigint) as fact_count,
        cast(null as timestamp) as last_fact_at
    from capped
    inner join {{ ref('score_dimension') }} as dimensions
        on capped.score = dimensions.score
        and capped.dimension = dimensions.dimension
    group by
        capped.person_id,
        capped.score,
        capped.dimension
    having sum(capped.points) > min(dimensions.cap)
),

reasons as (
    select * from capped
    union all
    select * from over_cap
),

final as (
    select
        person_id,
        score,
        rule,
        dimension,
        points,
        fact_count,
        last_fact_at
    from reasons
)

select * from final
