-- Every identifier that was ever seen, and whether it may stitch. One row is one identifier (identifier_key).
{{ config(
    materialized='incremental', incremental_strategy='append', on_schema_change='fail',
    pre_hook=["{{ forget('identifier_key') }}", "{{ pack(strings=false) }}"],
    post_hook=[
        "{{ pack() }}",
        "select error('identity: two identifiers have the same 63-bit key ' || identifier_key || '; see docs/identity.md, Keys')
        from {{ this }} where {{ is_reopened('identifier_key') }} group by identifier_key having count(*) > 1"
    ]
) }}

-- depends_on: {{ ref('identity_reopened') }}, {{ ref('observation_reopened') }}, {{ ref('identifier_observation') }}
with observations as (
    select * from {{ identity_observations() }}
    where identifier_key is not null
),

types as (
    select * from {{ ref('int_identity__type_numbered') }}
),

fan_outs as (
    select * from {{ ref('int_identity__fan_out') }}
),

-- one key stands for one value; to group by both is sooner done than to keep any value of each key
seen as (
    select
        identifier_key,
        identifier_type,
        identifier_value,
        min(sequence) as first_sequence,
        min(observed_at) as first_seen_at,
        max(observed_at) as last_seen_at,
        count(*) as record_count
    from observations
    where {{ is_reopened('identifier_key') }}
    group by identifier_key, identifier_type, identifier_value
),

typed as (
    select
        seen.*,
        types.type_no,
        types.strength,
        types.tier,
        types.max_per_person,
        types.max_period,
        coalesce(fan_outs.fan_out, 0) as fan_out,
        {{ blocked_reason('seen.identifier_type', 'seen.identifier_value') }} as blocked_reason,
        coalesce(fan_outs.fan_out > types.shared_above, false) as is_shared
    from seen
    left join types on seen.identifier_type = types.name
    left join fan_outs on seen.identifier_key = fan_outs.identifier_key
),

final as (
    select
        identifier_key,
        identifier_type,
        identifier_value,
        type_no,
        strength,
        tier,
        first_sequence,
        first_seen_at,
        last_seen_at,
        record_count,
        fan_out,
        blocked_reason,
        is_shared,
        blocked_reason is null and not is_shared as is_stitching,
        -- what is counted against the type's maximum: all its values, or those that were first seen in one period
        case when max_per_person is not null then type_no * 1000000 + {{ period_number('max_period', 'first_seen_at') }} end as limit_class
    from typed
)

select * from final
