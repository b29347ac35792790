{#-
Connected components. `edges` is a query with `left_key` and `right_key` (bigint, left <> right); repeats and directions do not matter.
Gives a query of (node_key, component_key): every node of an edge with the least key of its component.
All edges go as one list to cdp/identity/components.py, whose time grows with their number and little with the length of chains.
-#}
{% macro connected_components(edges) -%}{{ return(adapter.dispatch('connected_components')(edges)) }}{%- endmacro %}

{% macro duckdb__connected_components(edges) -%}
select unnest(cdp_components(list({ 'left_key': left_key, 'right_key': right_key })), recursive := true)
from ({{ edges }}) as edges
{%- endmacro %}
