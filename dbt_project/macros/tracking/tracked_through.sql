{#- The last ingestion number of a stream that was judged and counted under a version of the plan; 0 when none was. -#}
{% macro tracked_through(source_name, table, version) %}
{%- set counted = adapter.get_relation(this.database, this.schema, 'tracking_event_count') if execute else none -%}
{%- if counted is none or not is_incremental() -%}
0
{%- else -%}
(
    select coalesce(max(counted.through_sequence), 0)
    from {{ counted }} as counted
    where counted.source = '{{ source_name }}' and counted.table_name = '{{ table }}' and counted.plan_version = '{{ version }}'
)
{%- endif -%}
{% endmacro %}
