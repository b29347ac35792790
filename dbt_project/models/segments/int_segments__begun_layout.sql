-- Which bit of the rows that the history of segments began with stands for which segment. One row is one segment.
-- Declarations change, what was recorded does not: it is the layout of the run in which nothing was recorded yet.
{{ config(
    materialized='incremental',
    incremental_strategy='append',
    on_schema_change='fail',
    full_refresh=var('reset_segment_history', false)
) }}

with final as (
    select * from {{ ref('int_segments__layout') }}
    where part in (select part from {{ ref('int_segments__begun') }})
    {% if is_incremental() %}
        and part not in (select part from {{ this }})
    {% endif %}
)

select * from final
