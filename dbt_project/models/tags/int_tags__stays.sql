-- Which tags persons had, and have, as the runs recorded it. One row is one stay of a tag on a person as they were known then,
-- of each value where the tag's `history` says values; removed_at is null while it stays.
-- Made run by run like int_segments__stays; `--vars 'reset_tag_history: true'` gives the history up.
{{ config(
    materialized='incremental',
    incremental_strategy='delete+insert',
    unique_key=['recorded_person_id', 'tag', 'assigned_at'],
    on_schema_change='fail',
    full_refresh=var('reset_tag_history', false),
    pre_hook=["{{ take_back('assigned_at', 'removed_at') }}", "{{ carry_along() }}"],
) }}

with assigned as (
    select
        assignments.person_id,
        assignments.tag,
        case when tags.history = 'values' then assignments.value end as value
    from {{ ref('tag_assignment') }} as assignments
    inner join {{ ref('tag') }} as tags on assignments.tag = tags.tag
    where tags.history <> 'none'
),

stays as (
    {% if is_incremental() %}
    select
        person_id,
        recorded_person_id,
        tag,
        value,
        assigned_at
    from {{ this }}
    where removed_at is null
    {% else %}
    select
        person_id,
        person_id as recorded_person_id,
        tag,
        value,
        cast(null as timestamp) as assigned_at
    from assigned
    where false
    {% endif %}
),

-- one join does for all but the stays of persons who have become somebody else
compared as (
    select
        stays.assigned_at,
        stays.value as value_before,
        stays.person_id as person_before,
        stays.tag as tag_before,
        assigned.person_id,
        assigned.tag,
        assigned.value
    from assigned
    full join (
        select * from stays
        where recorded_person_id = person_id
    ) as stays
        on assigned.person_id = stays.recorded_person_id
        and assigned.tag = stays.tag
        and assigned.value is not distinct from stays.value
    where assigned.tag is null
        or stays.tag is null
),

left_behind as (
    select stays.*
    from (
        select * from stays
        where recorded_person_id <> person_id
    ) as stays
    anti join assigned
        on stays.person_id = assigned.person_id
        and stays.tag = assigned.tag
        and stays.value is not distinct from assigned.value
),

final as (
    select
        person_id,
        person_id as recorded_person_id,
        tag,
        value,
        {{ as_of() }} as assigned_at,
        cast(null as timestamp) as removed_at
    from compared
    where tag_before is null
    union all
    select
        person_before as person_id,
        person_before as recorded_person_id,
        tag_before as tag,
        value_before as value,
        assigned_at,
        {{ as_of() }} as removed_at
    from compared
    where tag_before is not null
    union all
    select
        person_id,
        recorded_person_id,
        tag,
        value,
        assigned_at,
        {{ as_of() }} as removed_at
    from left_behind
)

select * from final
