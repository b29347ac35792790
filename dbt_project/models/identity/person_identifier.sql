-- OneID: which person an identifier belongs to, with what is known of both. One row is one identifier.
{{ config(materialized='view') }}

with identifiers as (
    select * from {{ ref('identifier') }}
),

persons as (
    select * from {{ ref('identity_person') }}
),

founders as (
    select
        persons.person_id,
        identifiers.identifier_type as founding_identifier_type
    from persons
    inner join identifiers on persons.identifier_key = identifiers.identifier_key
    where persons.founder_key = persons.identifier_key
),

final as (
    select
        persons.person_id,
        identifiers.identifier_key,
        identifiers.identifier_type,
        identifiers.identifier_value,
        identifiers.first_sequence,
        identifiers.first_seen_at,
        identifiers.last_seen_at,
        identifiers.record_count,
        identifiers.is_shared,
        founders.founding_identifier_type,
        persons.founder_key = identifiers.identifier_key as is_founding
    from persons
    inner join identifiers on persons.identifier_key = identifiers.identifier_key
    inner join founders on persons.person_id = founders.person_id
)

select * from final
