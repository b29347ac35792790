-- How persons went through the stages of the life cycle. One row is one move of a person in a model; the machines stand in
-- lifecycle.yml. All of it follows from facts: the same facts in any order of arrival give the same moves.
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

-- each step has the form of the machine's state, which list_reduce asks for: where it is, and how it came there
histories as (
    select
        model,
        person_id,
        list(
            {
                'stage': stage,
                'at': fact_at,
                'path': cast([] as struct(stage varchar, entered_at timestamp)[])
            } order by fact_at, position, fact_key
        ) as steps
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
                when list_contains(legal.moves, state.stage || '>' || step.stage) then {
                    'stage': step.stage,
                    'at': step.at,
                    'path': list_append(state.path, { 'stage': step.stage, 'entered_at': step.at })
                }
                else state
            end,
            {
                'stage': 'start',
                'at': cast(null as timestamp),
                'path': cast([] as struct(stage varchar, entered_at timestamp)[])
            }
        ) as state
    from histories
    inner join legal on histories.model = legal.model
),

moves as (
    select
        model,
        person_id,
        state.path as path,
        unnest(range(1, len(state.path) + 1)) as move_number
    from ended
),

final as (
    select
        person_id,
        model,
        move_number,
        coalesce(path[move_number - 1].stage, 'start') as from_stage,
        path[move_number].stage as stage,
        path[move_number].entered_at as entered_at,
        path[move_number + 1].entered_at as left_at
    from moves
)

select * from final
