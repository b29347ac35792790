-- Who is in which segment, and who was, as the runs recorded it. One row is one stay of a person as they were known then.
--
-- History is made run by run, so this is a model that cannot be rebuilt from the others. A run at as_of first takes back
-- what was recorded at or after as_of, then tells whose the stays are now, then records who entered and who left.
-- `--full-refresh` keeps the history; `--vars 'reset_segment_history: true'` gives it up.
-- depends_on: {{ ref('int_segments__person_evaluated') }}, {{ ref('segment') }}
{{ config(
    materialized='incremental',
    incremental_strategy='delete+insert',
    unique_key=['segment', 'recorded_number', 'entered_at'],
    on_schema_change='fail',
    full_refresh=var('reset_segment_history', false),
    pre_hook=[
        "{{ take_back('entered_at', 'exited_at') }}",
        "{{ carry_along() }}",
        "{{ remember_recorded('entered_at', 'exited_at') }}",
    ],
) }}

with members as (
    select
        segment,
        person_number
    from {{ ref('int_segments__members') }}
    {% if is_incremental() %}
    where written_at >= {{ recorded_until() }}
    union all
    select
        others.segment,
        others.person_number
    from {{ ref('int_segments__members') }} as others
    semi join ({{ joined_persons('exited_at') }}) as joined on others.person_number = joined.person_number
    where others.written_at < {{ recorded_until() }}
    {% endif %}
),

{% if is_incremental() %}
stays as (
    select stays.*
    from {{ this }} as stays
    where stays.exited_at is null
        and (
            stays.person_number not in ({{ settled(ref('int_segments__person_evaluated'), 'exited_at') }})
            -- segments in SQL are no columns of the wide table
            or stays.segment in (
                select segment from {{ ref('segment') }}
                where source = 'model'
            )
        )
),

-- also for a person who is in through the stay of somebody who has become one with them: they may part again
entered as (
    select members.*
    from members
    anti join stays on members.segment = stays.segment and members.person_number = stays.recorded_number
),

exited as (
    select stays.*
    from stays
    anti join members on stays.segment = members.segment and stays.person_number = members.person_number
),

final as (
    select
        segment,
        person_number,
        person_number as recorded_number,
        {{ as_of() }} as entered_at,
        cast(null as timestamp) as exited_at
    from entered
    union all
    select * replace ({{ as_of() }} as exited_at)
    from exited
)
{% else %}
-- nothing was recorded yet: everybody enters
final as (
    select
        segment,
        person_number,
        person_number as recorded_number,
        {{ as_of() }} as entered_at,
        cast(null as timestamp) as exited_at
    from members
)
{% endif %}

select * from final
