-- Every identifier that was ever seen, and whether it may stitch. One row is one identifier (identifier_key).
with observations as (
    select * from {{ ref('identifier_observation') }}
    where identifier_key is not null
),

types as (
    select * from {{ ref('identifier_types') }}
),

seen as (
    select
        identifier_key,
        identifier_type,
        identifier_value,
        min(sequence) as first_sequence,
        min(observed_at) as first_seen_at,
        max(observed_at) as last_seen_at,
        count(*) as record_count,
        {{ blocked_reason('identifier_type', 'identifier_value') }} as blocked_reason
    from observations
    group by identifier_key, identifier_type, identifier_value
),

-- identifiers of which a person has only one: two of them beside the same value are two persons
unique_per_person as (
    select
        observations.sequence,
        observations.identifier_type,
        observations.identifier_key
    from observations
    inner join types on observations.identifier_type = types.name
    where types.max_per_person = 1
),

fan_out as (
    select
        observations.identifier_key,
        unique_per_person.identifier_type as beside_type,
        count(distinct unique_per_person.identifier_key) as beside_count
    from observations
    inner join types on observations.identifier_type = types.name
    inner join unique_per_person
        on observations.sequence = unique_per_person.sequence
        and observations.identifier_key <> unique_per_person.identifier_key
    where types.shared_above is not null
    group by observations.identifier_key, unique_per_person.identifier_type
),

shared as (
    select
        identifier_key,
        max(beside_count) as fan_out
    from fan_out
    group by identifier_key
),

final as (
    select
        seen.identifier_key,
        seen.identifier_type,
        seen.identifier_value,
        types.priority,
        types.level,
        seen.first_sequence,
        seen.first_seen_at,
        seen.last_seen_at,
        seen.record_count,
        coalesce(shared.fan_out, 0) as fan_out,
        seen.blocked_reason,
        coalesce(shared.fan_out > types.shared_above, false) as is_shared,
        seen.blocked_reason is null and not coalesce(shared.fan_out > types.shared_above, false) as is_stitching
    from seen
    inner join types on seen.identifier_type = types.name
    left join shared on seen.identifier_key = shared.identifier_key
)

select * from final
