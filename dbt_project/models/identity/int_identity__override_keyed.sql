-- Links that come from no record: overrides with the keys of their identifiers, normalised as observations are, and pairs that a
-- matching model accepted (action match). One row is one override, or one pair of one matching model.
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
    union all
    -- among matches the strongest come first; whole bits, so that a weight that moves a little with the data reopens nobody
    select
        'match' as action,
        left_key,
        right_key,
        100000 - floor(match_weight)::bigint as sequence,
        md5(concat_ws('/', 'match', model, left_key, right_key, floor(match_weight)::bigint)) as override_digest,
        null as left_type,
        null as left_value,
        null as right_type,
        null as right_value,
        'matched by ' || model as reason,
        model as author,
        null as decided_on
    from {{ ref('identity_match') }}
)

select * from final
