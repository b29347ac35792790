{#- What tables that are written now pack tightly. Most of the strings of identity are hashes and ids: packing them saves a third of
the room and costs more time than computing the rows. Booleans are packed as small by other methods than that for numbers, which
took half of the time of writing a hundred of them. For a model's hooks: `pack(strings=false)` before, `pack()` after. -#}
{% macro pack(strings=true, numbers=true) -%}{{ return(adapter.dispatch('pack')(strings, numbers)) }}{%- endmacro %}

{% macro duckdb__pack(strings, numbers) -%}
{%- set without = ([] if strings else ['fsst', 'dict_fsst', 'zstd']) + ([] if numbers else ['bitpacking']) -%}
set disabled_compression_methods = '{{ without | join(",") }}'
{%- endmacro %}

{% macro default__pack(strings, numbers) -%}select 1{%- endmacro %}
