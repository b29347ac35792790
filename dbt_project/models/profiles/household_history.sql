-- Who moved between households: an append-only log. One row is one person who came into a household, went to another or left one in a
-- run (run_no, person_id). The household of a person as of a run is that of the last row up to it. A full refresh does not clear it.
{{ config(materialized='incremental', incremental_strategy='append', on_schema_change='fail', full_refresh=false) }}

with members as (
    select
        person_id,
        household_id
    from {{ ref('household_member') }}
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
        person_id,
        -- in a struct, because arg_max passes over nulls, and null says that the person had left
        arg_max({ 'id': household_id }, run_no).id as household_id
    from landed
    group by person_id
),
{% else %}
last_run as (
    select 0::bigint as run_no
),

known as (
    select
        null::varchar as person_id,
        null::varchar as household_id
    where false
),
{% endif %}

final as (
    select
        last_run.run_no + 1 as run_no,
        {{ as_of() }} as as_of,
        coalesce(members.person_id, known.person_id) as person_id,
        members.household_id,
        known.household_id as previous_household_id,
        case
            when known.household_id is null then 'joined'
            when members.household_id is null then 'left'
            else 'moved'
        end as change
    from members
    full join known on members.person_id = known.person_id
    cross join last_run
    where members.household_id is distinct from known.household_id
)

select * from final
