-- One timeline per person. One row is one event of a known person.
{{ config(materialized='view') }}

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
