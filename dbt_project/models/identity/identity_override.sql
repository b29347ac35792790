-- What became of each override. One row is one override.
{{ config(materialized='view') }}

with overrides as (
    select * from {{ ref('int_identity__override_keyed') }}
    where action <> 'match'
),

identifiers as (
    select * from {{ ref('identifier') }}
),

persons as (
    select * from {{ ref('identity_person') }}
),

refusals as (
    select * from {{ ref('identity_refusal') }}
),

final as (
    select
        overrides.action,
        overrides.left_type,
        overrides.left_value,
        overrides.right_type,
        overrides.right_value,
        overrides.reason,
        overrides.author,
        overrides.decided_on,
        case
            when one.identifier_key is null or other.identifier_key is null then 'waits: an identifier was not seen yet'
            when one.blocked_reason is not null or other.blocked_reason is not null then 'no effect: an identifier is blocked'
            when overrides.action = 'merge' and one_person.person_id = other_person.person_id then 'applied'
            when overrides.action = 'never' and one_person.person_id <> other_person.person_id then 'applied'
            when refusals.rule is not null then 'contradicts an override: never beats merge'
            else 'not applied yet: the next run does'
        end as outcome
    from overrides
    left join identifiers as one on overrides.left_key = one.identifier_key
    left join identifiers as other on overrides.right_key = other.identifier_key
    left join persons as one_person on overrides.left_key = one_person.identifier_key
    left join persons as other_person on overrides.right_key = other_person.identifier_key
    left join refusals on overrides.left_key = refusals.left_key and overrides.right_key = refusals.right_key
)

select * from final
