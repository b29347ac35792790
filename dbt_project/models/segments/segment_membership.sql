-- Who is in which segment, and who was. One row is one stay of a person in a segment; exited_at is null while they stay.
--
-- History is made run by run, so this is the one model here that cannot be rebuilt from the others. A run at as_of first
-- takes back what was recorded at or after as_of, then records who entered and who left: repeating a run changes nothing.
-- `--full-refresh` keeps the history; `--vars 'reset_segment_history: true'` gives it up.
{{ config(
    materialized='incremental',
    incremental_strategy='delete+insert',
    unique_key=['segment', 'person_id', 'entered_at'],
    on_schema_change='fail',
    full_refresh=var('reset_segment_history', false),
    pre_hook=[
        "{% if is_incremental() %}delete from {{ this }} where entered_at >= {{ as_of() }}{% endif %}",
        "{% if is_incremental() %}update {{ this }} set exited_at = null where exited_at >= {{ as_of() }}{% endif %}",
    ],
) }}

with members as (
    select
        segment,
        person_id
    from {{ ref('int_segments__members') }}
),

{% if is_incremental() %}
stays as (
    select
        segment,
        person_id,
        entered_at
    from {{ this }}
    where exited_at is null
),
{% else %}
stays as (
    select
        cast(null as varchar) as segment,
        cast(null as varchar) as person_id,
        cast(null as timestamp) as entered_at
    where false
),
{% endif %}

entered as (
    select
        members.segment,
        members.person_id,
        {{ as_of() }} as entered_at,
        cast(null as timestamp) as exited_at
    from members
    where not exists (
        select 1
        from stays
        where stays.segment = members.segment
            and stays.person_id = members.person_id
    )
),

exited as (
    select
        stays.segment,
        stays.person_id,
        stays.entered_at,
        {{ as_of() }} as exited_at
    from stays
    where not exists (
        select 1
        from members
        where members.segment = stays.segment
            and members.person_id = stays.person_id
    )
),

final as (
    select * from entered
    union all
    select * from exited
)

select * from final
