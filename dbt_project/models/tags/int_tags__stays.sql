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

-- of persons of whom nothing is to be compared, all stays are settled; of those who are nobody any more, none
settled as (
    select wide.person_number
    from {{ ref('int_tags__person_tagged') }} as wide
    anti join touched on wide.person_number = touched.person_number
),

begun as (
    select begun.*
    from {{ ref('int_tags__begun') }} as begun
    anti join settled on begun.person_number = settled.person_number
),

stays as (
    select
        begun.person_number,
        begun.recorded_number,
        begun.name as tag,
        begun.value,
        begun.assigned_at
    from ({{ unpacked('begun', ref('int_tags__begun_layout'), ['person_number', 'recorded_number', 'assigned_at']) }}) as begun
    {% if is_incremental() %}
    anti join {{ this }} as changes
        on begun.recorded_number = changes.recorded_number
        and begun.name = changes.tag
        and begun.assigned_at = changes.assigned_at
    union all
    select
        stays.person_number,
        stays.recorded_number,
        stays.tag,
        stays.value,
        stays.assigned_at
    from {{ this }} as stays
    anti join settled on stays.person_number = settled.person_number
    where stays.removed_at is null
    {% endif %}
),

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
