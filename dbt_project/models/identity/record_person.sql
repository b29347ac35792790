-- The person of each record: that of its strongest identifier. One row is one record (in the pipeline a raw row, its sequence);
-- records without a usable identifier are not in it.
{{ config(materialized='incremental', incremental_strategy='append', on_schema_change='fail', pre_hook="{{ forget('record_key', 'record') }}") }}

-- depends_on: {{ ref('identity_reopened') }}, {{ ref('observation_reopened') }}, {{ ref('identifier_observation') }}
with named as (
    select
        record_key,
        any_value(record_id) as record_id,
        any_value(source) as source,
        min(sequence) as sequence
    from {{ identity_observations() }}
    where identifier_key is not null
    group by record_key
),

records as (
    select
        record_key,
        identifier_key
    from {{ ref('record_identifier') }}
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
        named.sequence,
        named.record_id,
        named.source,
        persons.person_id
    from records
    inner join named on records.record_key = named.record_key
    inner join persons on records.identifier_key = persons.identifier_key
)

select * from final
