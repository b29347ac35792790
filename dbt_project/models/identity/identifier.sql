-- Every identifier that was ever seen, and whether it may stitch. One row is one identifier (identifier_key).
{{ config(materialized='incremental', incremental_strategy='append', on_schema_change='fail', pre_hook="{{ forget('identifier_key') }}") }}

-- depends_on: {{ ref('identity_reopened') }}, {{ ref('observation_reopened') }}, {{ ref('identifier_observation') }}
with observations as (
    select * from {{ identity_observations() }}
    where identifier_key is not null
),

types as (
    select * from {{ ref('int_identity__type_numbered') }}
),

seen as (
    select
        identifier_key,
        any_value(identifier_type) as identifier_type,
        any_value(identifier_value) as identifier_value,
        min(sequence) as first_sequence,
        min(observed_at) as first_seen_at,
        max(observed_at) as last_seen_at,
        count(*) as record_count,
        -- two values under one key: no number of persons could be right, so nothing is built
        case
            when min(identifier_check) <> max(identifier_check)
                then error('identity: two identifiers have the same 63-bit key ' || identifier_key || '; see docs/identity.md, Keys')
        end as collision
    from observations
    where {{ is_reopened('identifier_key') }}
    group by identifier_key
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

fan_out as (
    select
        identifier_key,
        max(beside_count) as fan_out
    from (
        select
            identifier_key,
            type_no,
            count(*) as beside_count
        from beside
        group by identifier_key, type_no
    ) as counted
    group by identifier_key
),

blocked as (
    select
        *,
        {{ blocked_reason('identifier_type', 'identifier_value') }} as blocked_reason
    from seen
),

final as (
    select
        blocked.identifier_key,
        blocked.identifier_type,
        blocked.identifier_value,
        types.type_no,
        types.priority,
        types.level,
        blocked.first_sequence,
        blocked.first_seen_at,
        blocked.last_seen_at,
        blocked.record_count,
        coalesce(fan_out.fan_out, 0) as fan_out,
        blocked.blocked_reason,
        coalesce(fan_out.fan_out > types.shared_above, false) as is_shared,
        blocked.blocked_reason is null and not coalesce(fan_out.fan_out > types.shared_above, false) as is_stitching,
        -- what is counted against the type's maximum: all its values, or those that were first seen in one period
        case when types.max_per_person is not null then types.type_no * 1000000 + {{ period_number('types.max_period', 'blocked.first_seen_at') }} end as limit_class
    from blocked
    inner join types on blocked.identifier_type = types.name
    left join fan_out on blocked.identifier_key = fan_out.identifier_key
    where blocked.collision is null
)

select * from final
