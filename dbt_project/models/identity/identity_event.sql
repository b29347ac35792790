-- What happened to persons: an append-only log. One row is one event of one run. A full refresh does not clear it.
-- The first run only logs what it refused: who was there then is in identity_history.
-- The branches of a union take their names from the first one.
-- noqa: disable=AL03
{{ config(materialized='incremental', incremental_strategy='append', on_schema_change='fail', full_refresh=false) }}

with moves as (
    select * from {{ ref('identity_history') }}
    where run_no > {% if is_incremental() %}(select coalesce(max(run_no), 0) from {{ this }}){% else %}1{% endif %}
),

last_run as (
    select
        max(run_no) as run_no,
        max(as_of) as as_of
    from {{ ref('identity_history') }}
),

changes as (
    select
        run_no,
        as_of,
        change,
        person_id,
        previous_person_id,
        count(*) as identifier_count
    from moves
    where change in ('merged', 'split', 'removed')
    group by run_no, as_of, change, person_id, previous_person_id
    union all
    select
        run_no,
        as_of,
        'created' as change,
        person_id,
        null as previous_person_id,
        count(*) as identifier_count
    from moves
    where change = 'added'
    group by run_no, as_of, person_id
    having bool_or(identifier_key in (
        select founders.founder_key from {{ ref('identity_person') }} as founders
    ))
),

-- what brought two persons together: the strongest edge from what moved to what did not move with it
joining as (
    select
        moves.run_no,
        moves.previous_person_id,
        moves.person_id,
        arg_min(edges.edge, (edges.tier::hugeint << 63) | edges.sequence) as edge
    from moves
    inner join (
        select
left_key as one_key,
right_key as other_key,
tier,
sequence,
{ 'left_key': left_key, 'right_key': right_key } as edge
        from {{ ref('identity_edge') }}
        union all
        select
right_key,
left_key,
tier,
sequence,
{ 'left_key': left_key, 'right_key': right_key }
        from {{ ref('identity_edge') }}
    ) as edges on moves.identifier_key = edges.one_key
    inner join {{ ref('identity_person') }} as others
        on edges.other_key = others.identifier_key and moves.person_id = others.person_id
    left join moves as companions
        on edges.other_key = companions.identifier_key
        and moves.run_no = companions.run_no
        and moves.previous_person_id = companions.previous_person_id
    where moves.change = 'merged' and companions.identifier_key is null
    group by moves.run_no, moves.previous_person_id, moves.person_id
),

refusals as (
    select refusals.*
    from {{ ref('identity_refusal') }} as refusals
    {% if is_incremental() %}
    left join {{ this }} as logged
        on logged.event = 'refused' and refusals.left_key = logged.left_key and refusals.right_key = logged.right_key
    where logged.event is null
    {% endif %}
),

events as (
    select
        changes.run_no,
        changes.as_of,
        changes.change as event,
        changes.person_id,
        changes.previous_person_id,
        changes.identifier_count,
        joining.edge.left_key as left_key,
        joining.edge.right_key as right_key,
        null::varchar as rule
    from changes
    left join joining
        on changes.run_no = joining.run_no
        and changes.person_id = joining.person_id
        and changes.previous_person_id = joining.previous_person_id
    union all
    select
        last_run.run_no,
        last_run.as_of,
        'refused',
        null,
        null,
        null,
        refusals.left_key,
        refusals.right_key,
        refusals.rule
    from refusals
    cross join last_run
),

wanted as (
    select distinct
        left_key,
        right_key
    from events
    where left_key is not null
),

-- pairs by record first: by key, a value that everybody has would meet all of its records once per pair
seen as materialized (
    select
        record_key,
        record_id,
        identifier_key,
        sequence
    from {{ ref('identifier_observation') }}
    where identifier_key in (select wanted.left_key from wanted
    union
    select wanted.right_key from wanted)
),

beside as materialized (
    select
        one.identifier_key as left_key,
        other.identifier_key as right_key,
        one.record_id,
        { 'sequence': greatest(one.sequence, other.sequence), 'record_key': one.record_key } as at
    from seen as one
    inner join seen as other on one.record_key = other.record_key and one.identifier_key < other.identifier_key
),

evidence as (
    select
        beside.left_key,
        beside.right_key,
        arg_min(beside.record_id, beside.at) as record_id
    from beside
    semi join wanted on beside.left_key = wanted.left_key and beside.right_key = wanted.right_key
    group by beside.left_key, beside.right_key
),

final as (
    select
        events.run_no,
        events.as_of,
        events.event,
        events.person_id,
        events.previous_person_id,
        events.identifier_count,
        events.left_key,
        events.right_key,
        coalesce(events.rule, case when edges.tier = 0 then 'override' else 'tier ' || edges.tier end) as rule,
        evidence.record_id
    from events
    left join {{ ref('identity_edge') }} as edges on events.left_key = edges.left_key and events.right_key = edges.right_key
    left join evidence on events.left_key = evidence.left_key and events.right_key = evidence.right_key
)

select * from final
