{#-
Connected components by contraction.

`edges` is a relation or subquery with `left_key` and `right_key` (bigint, left <> right); an edge stands there in one direction.
Gives a query of (node_key, component_key): every node of an edge with the key that contraction composes for its component.
Each round every node takes the least key among itself and its neighbours, then the graph is rewritten on those representatives;
repeats and loops fall away, and about half the nodes are left. Representatives' own edges keep chains of a round
connected, so the rounds end when no edge is left. Then the rounds' labels are composed back.
"Least" is by another order in every second round (`mixed_key`): by one fixed order, a chain whose keys ascend, by chance or
because somebody chose them, loses one node a round, and 45 identifiers would stop the run. A chain of 10,000 nodes ends
after 13 to 21 rounds, however it is numbered.
-#}
{% macro connected_components(edges, prefix, max_rounds=40) %}
    {%- if not execute -%}
        {{ return("select null::bigint as node_key, null::bigint as component_key where false") }}
    {%- endif -%}
    {%- set state = namespace(rounds=0, edges="(" ~ edges ~ ")", left=1) -%}
    {%- for i in range(max_rounds) if state.left > 0 -%}
        {%- set label, next = prefix ~ "_label_" ~ i, prefix ~ "_edge_" ~ (i + 1) -%}
        {%- set least_key = "least(" ~ mixed_key("left_key", i) ~ ", " ~ mixed_key("right_key", i) ~ ")" -%}
        {%- do run_query("create or replace temp table " ~ label ~ " as select node_key, " ~ mixed_key("min(least_key)", i)
            ~ " as component_key from (select left_key as node_key, " ~ least_key ~ " as least_key from " ~ state.edges
            ~ " as e union all select right_key, " ~ least_key ~ " from " ~ state.edges ~ " as e) as sides group by node_key") -%}
        {%- do run_query("create or replace temp table " ~ next ~ " as select distinct least(a.component_key, b.component_key) as left_key,"
            ~ " greatest(a.component_key, b.component_key) as right_key from " ~ state.edges ~ " as e inner join " ~ label
            ~ " as a on e.left_key = a.node_key inner join " ~ label
            ~ " as b on e.right_key = b.node_key where a.component_key <> b.component_key") -%}
        {%- if i > 0 -%}{%- do run_query("drop table " ~ state.edges) -%}{%- endif -%}
        {%- set state.edges = next -%}
        {%- set state.left = run_query("select count(*) from " ~ next).columns[0].values()[0] -%}
        {%- set state.rounds = i + 1 -%}
    {%- endfor -%}
    {%- if state.left > 0 -%}
        {{ exceptions.raise_compiler_error("connected_components: " ~ state.left ~ " edges are left after " ~ max_rounds ~ " rounds; raise max_rounds") }}
    {%- endif -%}
    {%- do run_query("drop table " ~ state.edges) -%}
    {#- from the last round back to the second; the first one's labels are the many, and are written once, by the caller -#}
    {%- set later = prefix ~ "_label" -%}
    {%- do run_query("create or replace temp table " ~ later ~ " (node_key bigint, component_key bigint)") -%}
    {%- for i in range(state.rounds - 1, 0, -1) -%}
        {%- do run_query("create or replace temp table " ~ later ~ " as select l.node_key, coalesce(later.component_key, l.component_key) as component_key from "
            ~ prefix ~ "_label_" ~ i ~ " as l left join " ~ later ~ " as later on l.component_key = later.node_key"
            ~ " union all select later.node_key, later.component_key from " ~ later ~ " as later anti join "
            ~ prefix ~ "_label_" ~ i ~ " as l on later.node_key = l.node_key") -%}
        {%- do run_query("drop table " ~ prefix ~ "_label_" ~ i) -%}
    {%- endfor -%}
    {{ return("select l.node_key, coalesce(later.component_key, l.component_key) as component_key from " ~ prefix ~ "_label_0 as l left join "
        ~ later ~ " as later on l.component_key = later.node_key") }}
{% endmacro %}
