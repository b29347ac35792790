-- How many owners an identifier has: most values of one type, of which a person has one ever, on records beside it. One row is one
-- identifier that this run computes and that stands beside such a value; its type has a maximum of owners (shared_above).
-- A table of its own, whose size is known: `identifier` then holds these few in memory when it joins them, and not its own rows.

-- depends_on: {{ ref('identity_reopened') }}, {{ ref('observation_reopened') }}, {{ ref('identifier_observation') }}
with types as (
    select * from {{ ref('int_identity__type_numbered') }}
),

-- without other types: where no type can be shared, nothing is read
observations as not materialized (
    select
        record_key,
        identifier_key,
        identifier_type
    from {{ identity_observations() }}
    where identifier_key is not null
        and identifier_type in (
            select types.name from types
            where types.decides_sharing
                or types.shared_above is not null
        )
),

-- identifiers of which a person has only one: two of them beside the same value are two persons
unique_per_person as (
    select
        observations.record_key,
        observations.identifier_key,
        types.type_no
    from observations
    inner join types on observations.identifier_type = types.name
    where types.decides_sharing
),

beside as (
    select distinct
        observations.identifier_key,
        unique_per_person.type_no,
        unique_per_person.identifier_key as unique_key
    from observations
    inner join types on observations.identifier_type = types.name
    inner join unique_per_person
        on observations.record_key = unique_per_person.record_key
        and observations.identifier_key <> unique_per_person.identifier_key
    where types.shared_above is not null
        and {{ is_reopened('observations.identifier_key') }}
),

counted as (
    select
        identifier_key,
        type_no,
        count(*) as beside_count
    from beside
    group by identifier_key, type_no
),

final as (
    select
        identifier_key,
        max(beside_count) as fan_out
    from counted
    group by identifier_key
)

select * from final
