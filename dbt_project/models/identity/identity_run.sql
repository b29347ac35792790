-- How far the runs of identity had read: an append-only log. One row is one run that had read more, or moved somebody (run_no, sequence).
-- A row keeps its sequence for ever, so this tells which evidence a past run had. A full refresh does not clear it.
{{ config(materialized='incremental', incremental_strategy='append', on_schema_change='fail', full_refresh=false) }}

with observations as (
    select coalesce(max(sequence), 0) as sequence
    from {{ ref('identifier_observation') }}
    where identifier_key is not null
),

history as (
    select coalesce(max(run_no), 0) as run_no
    from {{ ref('identity_history') }}
),

final as (
    select
        history.run_no,
        {{ as_of() }} as as_of,
        observations.sequence
    from observations
    cross join history
    {% if is_incremental() %}
    left join {{ this }} as logged on history.run_no = logged.run_no and observations.sequence = logged.sequence
    where logged.run_no is null
    {% endif %}
)

select * from final
