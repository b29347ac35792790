-- Which identifiers are connected by edges at all, refused ones included: the unit that an incremental run computes anew.
-- One row is one identifier that has an edge.
{{ config(materialized='incremental', incremental_strategy='append', on_schema_change='fail', pre_hook="{{ forget('identifier_key') }}") }}

-- depends_on: {{ ref('identity_reopened') }}, {{ ref('identity_edge') }}
{%- set edges = "select left_key, right_key from " ~ ref('identity_edge') ~ " where " ~ is_reopened('left_key') %}
with components as (
    {{ connected_components(edges) }}
),

final as (
    select
        node_key as identifier_key,
        component_key
    from components
)

select * from final
