-- Which identifiers belong together. One row is one identifier that has an edge, with its component.
{%- do connected_components(ref('identity_edge'), 'identity') %}

-- depends_on: {{ ref('identity_edge') }}
select
    node_key as identifier_key,
    component_key
from identity_label
