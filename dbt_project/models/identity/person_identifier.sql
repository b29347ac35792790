-- OneID: which person an identifier belongs to. One row is one identifier.
-- person_id is the hash of the person's founding identifier, the first that ever arrived: it can be derived again from
-- raw anywhere, and survives everything that does not change which identifiers belong together.
{{ config(materialized='incremental', incremental_strategy='append', on_schema_change='fail', pre_hook="{{ forget('identifier_key') }}") }}

-- depends_on: {{ ref('identity_reopened') }}
with identifiers as (
    select * from {{ ref('identifier') }}
    where blocked_reason is null
        and {{ is_reopened('identifier_key') }}
),

types as (
    select * from {{ ref('int_identity__type_numbered') }}
),

components as (
    select * from {{ ref('identity_component') }}
    where {{ is_reopened('identifier_key') }}
),

replayed as (
    select unnest(outcome.persons, recursive := true)
    from {{ ref('identity_replay') }}
    where {{ is_reopened('component_key') }}
),

labelled as (
    select
        identifiers.identifier_key,
        coalesce(replayed.person_key, components.component_key, identifiers.identifier_key) as person_key,
        -- first to arrive, then strongest type, then least key, as one number
        (identifiers.first_sequence::hugeint << 63) | (types.strength << 55) | (identifiers.identifier_key >> 8) as seniority
    from identifiers
    inner join types on identifiers.type_no = types.type_no
    left join components on identifiers.identifier_key = components.identifier_key
    left join replayed on identifiers.identifier_key = replayed.identifier_key
),

founders as (
    select
        person_key,
        arg_min(identifier_key, seniority) as founder_key
    from labelled
    group by person_key
),

persons as (
    select
        founders.person_key,
        founders.founder_key,
        identifiers.identifier_type as founding_identifier_type,
        'p_' || md5(identifiers.identifier_type || ':' || identifiers.identifier_value) as person_id
    from founders
    inner join identifiers on founders.founder_key = identifiers.identifier_key
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
        persons.founding_identifier_type,
        persons.founder_key = identifiers.identifier_key as is_founding
    from identifiers
    inner join labelled on identifiers.identifier_key = labelled.identifier_key
    inner join persons on labelled.person_key = persons.person_key
)

select * from final
