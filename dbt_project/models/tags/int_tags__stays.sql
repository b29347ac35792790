-- Which tags persons had, and have, as the runs recorded it. One row is one stay of a tag on a person as they were known then,
-- of each value where the tag's `history` says values; removed_at is null while it stays.
-- What the first run found is in int_tags__begun; a stay of it is a row here when it has ended.
-- Made run by run like int_segments__stays; `--vars 'reset_tag_history: true'` gives the history up.
{{ config(
    materialized='incremental',
    incremental_strategy='delete+insert',
    unique_key=['recorded_number', 'tag', 'assigned_at'],
    on_schema_change='fail',
    full_refresh=var('reset_tag_history', false),
    pre_hook=[
        "{{ take_back('assigned_at', 'removed_at') }}",
        "{{ carry_along() }}",
        "{{ remember_recorded('assigned_at', 'removed_at', ref('int_tags__begun')) }}",
    ],
) }}

with {{ touched_persons(
    ref('int_tags__person_tagged'), ref('int_tags__tags_packed'), ref('int_tags__begun'), 'assigned_at', 'removed_at'
) }},

tagged as (
    select packed_now.*
    from packed_now
    semi join touched on packed_now.person_number = touched.person_number
),

assigned as (
    select
        unpacked.person_number,
        unpacked.name as tag,
        unpacked.value
    from ({{ unpacked('tagged', ref('int_tags__layout'), ['person_number']) }}) as unpacked
),

{{ open_stays(
    ref('int_tags__person_tagged'), ref('int_tags__begun'), ref('int_tags__begun_layout'), {'name': 'tag', 'value': 'value'},
    'assigned_at', 'removed_at'
) }},

-- one join does for all but the stays of persons who have become somebody else
compared as (
    select
        stays.assigned_at,
        stays.value as value_before,
        stays.person_number as person_before,
        stays.tag as tag_before,
        assigned.person_number,
        assigned.tag,
        assigned.value
    from assigned
    full join (
        select * from stays
        where recorded_number = person_number
    ) as stays
        on assigned.person_number = stays.recorded_number
        and assigned.tag = stays.tag
        and assigned.value is not distinct from stays.value
    where assigned.tag is null
        or stays.tag is null
),

left_behind as (
    select stays.*
    from (
        select * from stays
        where recorded_number <> person_number
    ) as stays
    anti join assigned
        on stays.person_number = assigned.person_number
        and stays.tag = assigned.tag
        and stays.value is not distinct from assigned.value
),

entered as (
    select
        person_number,
        tag,
        value
    from compared
    where tag_before is null
),

removed as (
    select
        person_before as person_number,
        person_before as recorded_number,
        tag_before as tag,
        value_before as value,
        assigned_at
    from compared
    where tag_before is not null
    union all
    select
        person_number,
        recorded_number,
        tag,
        value,
        assigned_at
    from left_behind
),

final as (
    select
        person_number,
        person_number as recorded_number,
        tag,
        value,
        {{ as_of() }} as assigned_at,
        cast(null as timestamp) as removed_at
    from entered
    union all
    select
        person_number,
        recorded_number,
        tag,
        value,
        assigned_at,
        {{ as_of() }} as removed_at
    from removed
)

select * from final
