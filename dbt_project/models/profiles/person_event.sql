-- One timeline per person. One row is one event of a known person. A table, because everything that looks at behaviour reads it,
-- kind of event by kind of event: as a view each of these readers would join events with persons anew. By person_number and row_digest
-- tags tell whose facts are not those of the last run (dbt_declarations/touched.py).
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

known as (
    select
        records.person_id,
        events.* exclude (provider)
    from events
    inner join records on events.sequence = records.sequence
),

final as (
    select
        *,
        {{ number_of_person('person_id') }} as person_number,
        {{ whole_row_digest('known') }} as row_digest
    from known
)

select * from final
