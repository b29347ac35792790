-- One timeline per person. One row is one event of a known person. A table, because everything that looks at behaviour reads it,
-- kind of event by kind of event: as a view each of these readers would join events with persons anew.
{{ config(materialized='table') }}

with events as (
    select * from {{ ref('event') }}
),

records as (
    select
        sequence,
        person_id
    from {{ ref('record_person') }}
),

final as (
    select
        records.person_id,
        events.* exclude (provider)
    from events
    inner join records on events.sequence = records.sequence
)

select * from final
