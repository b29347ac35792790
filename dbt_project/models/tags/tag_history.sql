-- Which tags a person had, and has. One row is one stay of a tag on a person, of each value where the tag's `history` says
-- values; removed_at is null while it stays.
--
-- Made run by run like segments.segment_membership, with the same rules: a run takes back what was recorded at or after its
-- as_of, merged persons' rows go to the one who is left. `--vars 'reset_tag_history: true'` gives the history up.
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
        assigned_at,
        -- two persons with the same tag who became one: the longer stay goes on
        row_number() over (partition by person_id, tag, value order by assigned_at, recorded_person_id) as position
    from {{ this }}
    where removed_at is null
    {% else %}
    select
        person_id,
        person_id as recorded_person_id,
        tag,
        value,
        cast(null as timestamp) as assigned_at,
        1 as position
    from assigned
    where false
    {% endif %}
),

compared as (
    select
        stays.position,
        stays.recorded_person_id,
        stays.assigned_at,
        stays.value as value_before,
        stays.person_id as person_before,
        stays.tag as tag_before,
        assigned.person_id,
        assigned.tag,
        assigned.value
    from assigned
    full join stays
        on assigned.person_id = stays.person_id
        and assigned.tag = stays.tag
        and assigned.value is not distinct from stays.value
    where assigned.tag is null
        or stays.tag is null
        or stays.position > 1
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
        recorded_person_id,
        tag_before as tag,
        value_before as value,
        assigned_at,
        {{ as_of() }} as removed_at
    from compared
    where tag_before is not null
)

select * from final
