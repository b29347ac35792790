{#- "Now" of the run as a timestamp in UTC. No model reads a clock; two runs with the same as_of give the same bytes. -#}
{% macro as_of() -%}
    {%- set given = var('as_of', '') or (env_var('CDP_AS_OF', '') if execute else '2000-01-01') -%}
    {%- if not given -%}
        {{ exceptions.raise_compiler_error("as_of is not set. Expected: the variable as_of or CDP_AS_OF, ISO 8601 in UTC. To do: run through `cdp run`, or pass --vars 'as_of: 2026-03-01'.") }}
    {%- endif -%}
    (timestamp '{{ (given | string).replace('T', ' ').replace('Z', '').replace('+00:00', '') }}')
{%- endmacro %}
