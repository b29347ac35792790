-- The stage that a person is in. One row is one person and life-cycle model; the machines stand in lifecycle.yml.
with facts as (
    select * from {{ ref('int_profiles__stage_facts') }}
),

-- a fact for the stage of the fact before it changes nothing, whatever the state: only the first of a run is kept
turning_points as (
    select
        model,
        person_id,
        stage,
        position,
        fact_at,
        fact_key
    from facts
    qualify lag(stage) over (partition by model, person_id order by fact_at, position, fact_key) is distinct from stage
),

legal as (
    select
        model,
        list(from_stage || '>' || to_stage order by from_stage, to_stage) as moves
    from {{ ref('lifecycle_transition') }}
    group by model
),

histories as (
    select
        model,
        person_id,
        list({ 'stage': stage, 'entered_at': fact_at } order by fact_at, position, fact_key) as steps
    from turning_points
    group by
        model,
        person_id
),

-- the machine itself: a step that is not a legal move from the current stage leaves the stage as it is
ended as (
    select
        histories.model,
        histories.person_id,
        list_reduce( -- noqa: PRS
            histories.steps,
            lambda state, step: case
                when list_contains(legal.moves, state.stage || '>' || step.stage) then step else state
            end,
            { 'stage': 'start', 'entered_at': cast(null as timestamp) }
        ) as state
    from histories
    inner join legal on histories.model = legal.model
),

final as (
    select
        person_id,
        model,
        state.stage as stage,
        state.entered_at as entered_at
    from ended
    where state.stage <> 'start'
)

select * from final
