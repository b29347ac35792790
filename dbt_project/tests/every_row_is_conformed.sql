-- Guards: every row that a source provides has what its shape requires. If this warns, rows are missing from events,
-- orders or leads though they were landed; the query names them and what they lack. To mend: correct the staging
-- model (or the mapping in the source's YAML), or make the column `required` in the source, so that such rows go to
-- quarantine where they can be repaired.
{{ config(severity='warn') }}

select * from {{ ref('conformed_rejection') }}
