-- Overrides with the keys of their identifiers, normalised as observations are. One row is one override.
{{ config(materialized='view') }}

with overrides as (
    select * from {{ ref('identity_overrides') }}
),

normalised as (
    select
        action,
        left_type,
        right_type,
        {{ normalise_as('left_type', 'left_value') }} as left_value,
        {{ normalise_as('right_type', 'right_value') }} as right_value,
        reason,
        author,
        decided_on
    from overrides
),

keyed as (
    select
        *,
        {{ hash_key("left_type || ':' || left_value") }} as one_key,
        {{ hash_key("right_type || ':' || right_value") }} as other_key
    from normalised
),

final as (
    select
        action,
        least(one_key, other_key) as left_key,
        greatest(one_key, other_key) as right_key,
        date_diff('day', date '1970-01-01', decided_on) as sequence,
        md5(concat_ws('/', action, one_key, other_key, decided_on)) as override_digest,
        left_type,
        left_value,
        right_type,
        right_value,
        reason,
        author,
        decided_on
    from keyed
    where one_key <> other_key
)

select * from final
