-- Who is in which segment, and who was. One row is one stay of a person in a segment; exited_at is null while they stay.
-- Stays that a person has from several persons who have become one are joined where they meet.
-- depends_on: {{ ref('segment') }}
{{ config(materialized='view') }}

{{ stays_of_persons(
    ref('int_segments__stays'), ref('int_segments__begun'), ref('int_segments__begun_layout'), {'name': 'segment'},
    'entered_at', 'exited_at'
) }}
