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

beside_counted as (
    select
        identifier_key,
        type_no,
        count(*) as beside_count
    from beside
    group by identifier_key, type_no
),

-- observations and fan-outs meet in one aggregate: a join of them would hold every value in memory
facts as (
    select
        identifier_key,
        identifier_type,
        identifier_value,
        identifier_check,
        sequence,
        observed_at,
        0::bigint as beside_count
    from observations
    where {{ is_reopened('identifier_key') }}
    union all
    select
        identifier_key,
        null as identifier_type,
        null as identifier_value,
        null as identifier_check,
        null as sequence,
        null as observed_at,
        beside_count
    from beside_counted
),

seen as (
    select
        identifier_key,
        any_value(identifier_type) as identifier_type,
        any_value(identifier_value) as identifier_value,
        min(sequence) as first_sequence,
        min(observed_at) as first_seen_at,
        max(observed_at) as last_seen_at,
        count(sequence) as record_count,
        max(beside_count) as fan_out,
        any_value(identifier_check) as identifier_check
    from facts
    group by identifier_key
),

typed as (
    select
        seen.*,
        types.* exclude (name, decides_sharing),
        {{ blocked_reason('seen.identifier_type', 'seen.identifier_value') }} as blocked_reason,
        coalesce(seen.fan_out > types.shared_above, false) as is_shared
    from seen
    left join types on seen.identifier_type = types.name
),

final as (
    select
        identifier_key,
        identifier_type,
        identifier_value,
        identifier_check,
        type_no,
        priority,
        tier,
        level,
        first_sequence,
        first_seen_at,
        last_seen_at,
        record_count,
        fan_out,
        blocked_reason,
        is_shared,
        blocked_reason is null and not is_shared as is_stitching,
        -- strength on a record, as one number: those that stitch before those that do not, then by type, then by key
        ((case when is_shared then 1000 else 0 end + strength)::hugeint << 63) | identifier_key as rank,
        -- right to name the person: the first to arrive, then by type, then by key
        (first_sequence::hugeint << 63) | (strength << 55) | (identifier_key >> 8) as seniority,
        -- what is counted against the type's maximum: all its values, or those that were first seen in one period
        case when max_per_person is not null then type_no * 1000000 + {{ period_number('max_period', 'first_seen_at') }} end as limit_class
    from typed
)

select * from final
