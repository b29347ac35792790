-- Which bit of the rows that the history of segments began with stands for which segment. One row is one segment.
-- Declarations change, what was recorded does not: it is the layout of the run in which nothing was recorded yet.
-- depends_on: {{ ref('int_segments__begun') }}
{{ config(
    materialized='incremental',
    incremental_strategy='append',
    on_schema_change='fail',
    full_refresh=var('reset_segment_history', false)
) }}

with final as (
    select * from {{ ref('int_segments__layout') }}
    {% if is_incremental() %}
    where part not in (select part from {{ this }})
    {% endif %}
)

select * from final
