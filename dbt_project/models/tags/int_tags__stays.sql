-- Which tags persons had, and have, as the runs recorded it. One row is one stay of a tag on a person as they were known then,
-- of each value where the tag's `history` says values; removed_at is null while it stays.
-- Made run by run like int_segments__stays; `--vars 'reset_tag_history: true'` gives the history up.
-- depends_on: {{ ref('int_tags__person_tagged') }}
{{ config(
    materialized='incremental',
    incremental_strategy='delete+insert',
    unique_key=['recorded_number', 'tag', 'assigned_at'],
    on_schema_change='fail',
    full_refresh=var('reset_tag_history', false),
    pre_hook=[
        "{{ take_back('assigned_at', 'removed_at') }}",
        "{{ carry_along() }}",
        "{{ remember_recorded('assigned_at', 'removed_at') }}",
    ],
) }}

with unpivoted as (
    select * from {{ ref('int_tags__tags_unpivoted') }}
    {% if is_incremental() %}
    where written_at >= {{ recorded_until() }}
    union all
    select others.*
    from {{ ref('int_tags__tags_unpivoted') }} as others
    semi join ({{ joined_persons('removed_at') }}) as joined on others.person_number = joined.person_number
    where others.written_at < {{ recorded_until() }}
    {% endif %}
),

assigned as (
    select
        unpivoted.person_number,
        unpivoted.tag,
        unpivoted.kept_value as value
    from unpivoted
    inner join {{ ref('tag') }} as tags on unpivoted.tag = tags.tag
    where tags.history <> 'none'
),

{% if is_incremental() %}
stays as (
    select stays.*
    from {{ this }} as stays
    anti join ({{ settled(ref('int_tags__person_tagged'), 'removed_at') }}) as settled
        on stays.person_number = settled.person_number
    where stays.removed_at is null
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
        *,
        {{ as_of() }} as removed_at
    from removed
)
{% else %}
-- nothing was recorded yet: everything begins
final as (
    select
        person_number,
        person_number as recorded_number,
        tag,
        value,
        {{ as_of() }} as assigned_at,
        cast(null as timestamp) as removed_at
    from assigned
)
{% endif %}

select * from final
