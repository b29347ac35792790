-- What the history of tags begins with: every tag that is kept of everybody, as bits. One row is one person and table of
-- tags, as they were known then. Written in the run in which nothing was recorded yet; what changes is a row of
-- int_tags__stays. The bits are told apart by int_tags__begun_layout.
{{ config(
    materialized='incremental',
    incremental_strategy='append',
    on_schema_change='fail',
    full_refresh=var('reset_tag_history', false),
    pre_hook=[
        "{% if is_incremental() %}delete from {{ this }} where assigned_at >= {{ as_of() }}{% endif %}",
        "{{ carry_along() }}",
    ],
) }}

{{ begin_with(ref('int_tags__tags_packed'), 'assigned_at', 'int_tags__stays') }}
