-- Edges that were refused, and by which rule. One row is one pair of identifiers (left_key, right_key).
-- The columns that are unnested bring their names along.
-- noqa: disable=AL03
{{ config(materialized='view') }}

with refused as (
    select
        component_key,
        unnest(outcome.refused, recursive := true)
    from {{ ref('identity_replay') }}
),

identifiers as (
    select * from {{ ref('identifier') }}
),

types as (
    select * from {{ ref('int_identity__type_numbered') }}
),

edges as (
    select * from {{ ref('identity_edge') }}
),

final as (
    select
        refused.left_key,
        refused.right_key,
        one.identifier_type as left_type,
        one.identifier_value as left_value,
        other.identifier_type as right_type,
        other.identifier_value as right_value,
        edges.tier,
        edges.sequence,
        case when refused.limit_class is null then 'never_merge' else 'limit:' || types.name end as rule
    from refused
    inner join edges on refused.left_key = edges.left_key and refused.right_key = edges.right_key
    inner join identifiers as one on refused.left_key = one.identifier_key
    inner join identifiers as other on refused.right_key = other.identifier_key
    left join types on refused.limit_class // 1000000 = types.type_no
)

select * from final
