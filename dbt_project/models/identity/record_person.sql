-- The person of each record: that of its strongest identifier. One row is one record (in the pipeline a raw row, its sequence);
-- records without a usable identifier are not in it.
{{ config(materialized='incremental', incremental_strategy='append', on_schema_change='fail', pre_hook="{{ forget('record_key', 'record') }}") }}

-- depends_on: {{ ref('identity_reopened') }}
with records as (
    select * from {{ ref('record_identifier') }}
    where {{ is_reopened('record_key', 'record') }}
),

persons as (
    select
        identifier_key,
        person_id
    from {{ ref('person_identifier') }}
),

final as (
    select
        records.record_key,
        records.first_sequence as sequence,
        records.record_id,
        records.source,
        persons.person_id
    from records
    inner join persons on records.identifier_key = persons.identifier_key
)

select * from final
