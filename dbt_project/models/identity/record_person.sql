-- The person of each record: that of its strongest identifier. One row is one record (in the pipeline a raw row, its sequence);
-- records without a usable identifier are not in it.
{{ config(
    materialized='incremental', incremental_strategy='append', on_schema_change='fail',
    pre_hook="{{ forget('record_key', 'record') }}"
) }}

-- depends_on: {{ ref('identity_reopened') }}, {{ ref('observation_reopened') }}, {{ ref('identifier_observation') }}
with records as (
    select
        record_key,
        identifier_key
    from {{ ref('record_identifier') }}
    where {{ is_reopened('record_key', 'record') }}
),

-- the record's strongest identifier is on it once, unless the same row came twice
named as (
    select
        observations.record_key,
        any_value(records.identifier_key) as identifier_key,
        any_value(observations.record_id) as record_id,
        any_value(observations.source) as source,
        min(observations.sequence) as sequence
    from {{ identity_observations() }} as observations
    inner join records
        on observations.record_key = records.record_key and observations.identifier_key = records.identifier_key
    group by observations.record_key
),

persons as (
    select
        identifier_key,
        person_id
    from {{ ref('identity_person') }}
),

final as (
    select
        named.record_key,
        named.sequence,
        named.record_id,
        named.source,
        persons.person_id
    from named
    inner join persons on named.identifier_key = persons.identifier_key
)

select * from final
