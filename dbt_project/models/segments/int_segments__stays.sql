-- Who is in which segment, and who was, as the runs recorded it. One row is one stay of a person as they were known then.
--
-- History is made run by run, so this is a model that cannot be rebuilt from the others. A run at as_of first takes back
-- what was recorded at or after as_of, then tells whose the stays are now, then records who entered and who left.
-- `--full-refresh` keeps the history; `--vars 'reset_segment_history: true'` gives it up.
-- What the first run found is in int_segments__begun; a stay of it is a row here when it has ended.
{{ config(
    materialized='incremental',
    incremental_strategy='delete+insert',
    unique_key=['segment', 'recorded_number', 'entered_at'],
    on_schema_change='fail',
    full_refresh=var('reset_segment_history', false),
    pre_hook=[
        "{{ take_back('entered_at', 'exited_at') }}",
        "{{ carry_along() }}",
        "{{ remember_recorded('entered_at', 'exited_at', ref('int_segments__begun')) }}",
    ],
) }}

with {{ touched_persons(
    ref('int_segments__person_evaluated'), ref('int_segments__members_packed'), ref('int_segments__begun'),
    'entered_at', 'exited_at'
) }},

-- segments in SQL are no columns of the wide table
handwritten as (
    select segment from {{ ref('segment') }}
    where source = 'model'
),

fitting as (
    select packed_now.*
    from packed_now
    semi join touched on packed_now.person_number = touched.person_number
),

members as (
    select
        unpacked.name as segment,
        unpacked.person_number
    from ({{ unpacked('fitting', ref('int_segments__layout'), ['person_number']) }}) as unpacked
    union all
    select
        members.segment,
        members.person_number
    from {{ ref('int_segments__members') }} as members
    where members.segment in (select segment from handwritten)
),

{{ open_stays(
    ref('int_segments__person_evaluated'), ref('int_segments__begun'), ref('int_segments__begun_layout'), {'name': 'segment'},
    'entered_at', 'exited_at', compared='stays.segment in (select segment from handwritten)'
) }},

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
    select
        *,
        {{ as_of() }} as exited_at
    from exited
)

select * from final
