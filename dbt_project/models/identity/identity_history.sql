-- Who was whom: an append-only log of identifiers that came, moved or went. One row is one identifier in one run (run_no, identifier_key).
-- The person of an identifier as of a run is that of its last row up to the run. A full refresh does not clear it.
{{ config(materialized='incremental', incremental_strategy='append', on_schema_change='fail', full_refresh=false) }}

-- depends_on: {{ ref('identity_reopened') }}
with persons as (
    select
        identifier_key,
        person_id
    from {{ ref('identity_person') }}
    where {{ is_reopened('identifier_key') }}
),

{% if is_incremental() %}
landed as (
    select * from {{ this }}
),

last_run as (
    select coalesce(max(run_no), 0) as run_no from landed
),

known as (
    select
        identifier_key,
        -- in a struct, because arg_max passes over nulls, and null says that it had gone
        arg_max({ 'id': person_id }, run_no).id as person_id
    from landed
    where {{ is_reopened('identifier_key') }}
    group by identifier_key
),
{% else %}
last_run as (
    select 0 as run_no
),

known as (
    select
        null::bigint as identifier_key,
        null::varchar as person_id
    where false
),
{% endif %}

moved as (
    select
        coalesce(persons.identifier_key, known.identifier_key) as identifier_key,
        persons.person_id,
        known.person_id as previous_person_id
    from persons
    full join known on persons.identifier_key = known.identifier_key
    where persons.person_id is distinct from known.person_id
),

-- a person that is left without an identifier went into the one that took them all, or was split up
left_over as (
    select
        known.person_id,
        count(distinct persons.person_id) as heir_count,
        bool_or(known.person_id = persons.person_id) is true as is_there
    from known
    left join persons on known.identifier_key = persons.identifier_key
    where known.person_id is not null
    group by known.person_id
),

final as (
    select
        last_run.run_no + 1 as run_no,
        {{ as_of() }} as as_of,
        moved.identifier_key,
        moved.person_id,
        moved.previous_person_id,
        case
            when moved.previous_person_id is null then 'added'
            when moved.person_id is null then 'removed'
            when left_over.is_there or left_over.heir_count > 1 then 'split'
            else 'merged'
        end as change
    from moved
    cross join last_run
    left join left_over on moved.previous_person_id = left_over.person_id
)

select * from final
