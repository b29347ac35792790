-- OneID: which person an identifier belongs to, by key. One row is one identifier that is not blocked.
-- person_id is the hash of the person's founding identifier, the first that ever arrived: it can be derived again from
-- raw anywhere, and survives everything that does not change which identifiers belong together.
{{ config(
    materialized='incremental', incremental_strategy='append', on_schema_change='fail',
    pre_hook=["{{ forget('identifier_key') }}", "{{ pack(strings=false) }}"], post_hook="{{ pack() }}"
) }}

-- depends_on: {{ ref('identity_reopened') }}
with identifiers as not materialized (
    select * from {{ ref('identifier') }}
    where {{ is_reopened('identifier_key') }}
),

components as (
    select
        identifier_key,
        component_key
    from {{ ref('identity_component') }}
    where {{ is_reopened('identifier_key') }}
),

replayed as (
    select unnest(outcome.persons, recursive := true)
    from {{ ref('identity_replay') }}
    where {{ is_reopened('component_key') }}
),

labelled as materialized (
    select
        identifiers.identifier_key,
        -- right to name the person, as one number: the first to arrive, then by type, then by key
        (identifiers.first_sequence::hugeint << 63)
        | (identifiers.strength::hugeint << 55)
        | (identifiers.identifier_key >> 8) as seniority,
        coalesce(replayed.person_key, components.component_key, identifiers.identifier_key) as person_key
    from identifiers
    left join components on identifiers.identifier_key = components.identifier_key
    left join replayed on identifiers.identifier_key = replayed.identifier_key
    where identifiers.blocked_reason is null
),

founders as (
    select
        person_key,
        arg_min(identifier_key, seniority) as founder_key
    from labelled
    group by person_key
),

-- materialized: else the hash is made for each identifier of the person
persons as materialized (
    select
        founders.person_key,
        founders.founder_key,
        'p_' || md5(identifiers.identifier_type || ':' || identifiers.identifier_value) as person_id
    from identifiers
    inner join founders on identifiers.identifier_key = founders.founder_key
),

final as (
    select
        labelled.identifier_key,
        persons.person_id,
        persons.founder_key
    from labelled
    inner join persons on labelled.person_key = persons.person_key
)

select * from final
