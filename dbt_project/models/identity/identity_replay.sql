-- What refusing edges does to the components that break a limit or hold a forbidden pair. One row is one such component.
-- All other components are persons as they are: limits only tighten as a set grows, so no edge in them could be refused.
{{ config(materialized='incremental', incremental_strategy='append', on_schema_change='fail', pre_hook="{{ forget('component_key') }}") }}

-- depends_on: {{ ref('identity_reopened') }}
with components as (
    select * from {{ ref('identity_component') }}
    where {{ is_reopened('identifier_key') }}
),

limited as (
    select
        components.component_key,
        components.identifier_key,
        identifiers.limit_class,
        types.max_per_person
    from {{ ref('identifier') }} as identifiers
    inner join {{ ref('int_identity__type_numbered') }} as types on identifiers.type_no = types.type_no
    inner join components on identifiers.identifier_key = components.identifier_key
    where identifiers.limit_class is not null
),

forbidden as (
    select
        one.component_key,
        overrides.left_key,
        overrides.right_key
    from {{ ref('int_identity__override_keyed') }} as overrides
    inner join components as one on overrides.left_key = one.identifier_key
    inner join components as other on overrides.right_key = other.identifier_key
    where overrides.action = 'never'
        and one.component_key = other.component_key
),

violating as (
    select component_key
    from limited
    group by component_key, limit_class
    having count(*) > max(max_per_person)
    union
    select component_key from forbidden
),

edges as (
    select
        components.component_key,
        list(
            { 'left_key': edges.left_key, 'right_key': edges.right_key, 'tier': edges.tier }
            order by edges.tier, edges.sequence, edges.left_key, edges.right_key
        ) as edges
    from {{ ref('identity_edge') }} as edges
    inner join components on edges.left_key = components.identifier_key
    where components.component_key in (select violating.component_key from violating)
    group by components.component_key
),

limits as (
    select
        component_key,
        list(
            { 'identifier_key': identifier_key, 'limit_class': limit_class, 'most': max_per_person::bigint } order by identifier_key
        ) as limits
    from limited
    where component_key in (select violating.component_key from violating)
    group by component_key
),

pairs as (
    select
        component_key,
        list({ 'left_key': left_key, 'right_key': right_key } order by left_key, right_key) as pairs
    from forbidden
    group by component_key
),

final as (
    select
        edges.component_key,
        cdp_replay_edges(edges.edges, coalesce(limits.limits, []), coalesce(pairs.pairs, [])) as outcome
    from edges
    left join limits on edges.component_key = limits.component_key
    left join pairs on edges.component_key = pairs.component_key
)

select * from final
