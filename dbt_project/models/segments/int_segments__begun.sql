-- What the history of segments begins with: who was in which declared segment, as bits. One row is one person and set of
-- segments, as they were known then. Written in the run in which nothing was recorded yet; what changes is a row of
-- int_segments__stays. The bits are told apart by int_segments__begun_layout.
{{ config(
    materialized='incremental',
    incremental_strategy='append',
    on_schema_change='fail',
    full_refresh=var('reset_segment_history', false),
    pre_hook=[
        "{% if is_incremental() %}delete from {{ this }} where entered_at >= {{ as_of() }}{% endif %}",
        "{{ carry_along() }}",
    ],
) }}

{{ begin_with(ref('int_segments__members_packed'), 'entered_at', 'int_segments__stays') }}
