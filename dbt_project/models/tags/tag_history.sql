-- Which tags a person had, and has. One row is one stay of a tag on a person, of each value where the tag's `history` says
-- values; removed_at is null while it stays.
{{ config(materialized='view') }}

{{ stays_of_persons(
    ref('int_tags__stays'), ref('int_tags__begun'), ref('int_tags__begun_layout'), {'name': 'tag', 'value': 'value'},
    'assigned_at', 'removed_at'
) }}
