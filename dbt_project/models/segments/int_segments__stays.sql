-- Who is in which segment, and who was, as the runs recorded it. One row is one stay of a person as they were known then.
--
-- History is made run by run, so this is a model that cannot be rebuilt from the others. A run at as_of first takes back
-- what was recorded at or after as_of, then tells whose the stays are now, then records who entered and who left.
-- `--full-refresh` keeps the history; `--vars 'reset_segment_history: true'` gives it up.
{{ config(
    materialized='incremental',
    incremental_strategy='delete+insert',
    unique_key=['segment', 'recorded_person_id', 'entered_at'],
    on_schema_change='fail',
    full_refresh=var('reset_segment_history', false),
    pre_hook=["{{ take_back('entered_at', 'exited_at') }}", "{{ carry_along() }}"],
) }}

with members as (
    select
        segment,
        person_id
    from {{ ref('int_segments__members') }}
),

stays as (
    {% if is_incremental() %}
    select
        segment,
        person_id,
        recorded_person_id,
        entered_at
    from {{ this }}
    where exited_at is null
    {% else %}
    select
        segment,
        person_id,
        person_id as recorded_person_id,
        cast(null as timestamp) as entered_at
    from members
    where false
    {% endif %}
),

-- also for a person who is in through the stay of somebody who has become one with them: they may part again
entered as (
    select
        members.segment,
        members.person_id,
        members.person_id as recorded_person_id,
        {{ as_of() }} as entered_at,
        cast(null as timestamp) as exited_at
    from members
    anti join stays on members.segment = stays.segment and members.person_id = stays.recorded_person_id
),

exited as (
    select
        stays.segment,
        stays.person_id,
        stays.recorded_person_id,
        stays.entered_at,
        {{ as_of() }} as exited_at
    from stays
    anti join members on stays.segment = members.segment and stays.person_id = members.person_id
),

final as (
    select * from entered
    union all
    select * from exited
)

select * from final
