-- Which bit of the rows that the history of tags began with stands for which tag. One row is one tag, or one of its named values.
-- Declarations change, what was recorded does not: it is the layout of the run in which nothing was recorded yet.
{{ config(
    materialized='incremental',
    incremental_strategy='append',
    on_schema_change='fail',
    full_refresh=var('reset_tag_history', false)
) }}

with final as (
    select * from {{ ref('int_tags__layout') }}
    where part in (select part from {{ ref('int_tags__begun') }})
    {% if is_incremental() %}
        and part not in (select part from {{ this }})
    {% endif %}
)

select * from final
