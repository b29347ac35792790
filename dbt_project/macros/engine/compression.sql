{#- Whether tables that are written now pack their strings tightly. Most of the strings of identity are hashes and ids: packing
them saves a third of the room and costs more time than computing the rows. For a model's hooks: false before, true after. -#}
{% macro pack_strings(tightly) -%}{{ return(adapter.dispatch('pack_strings')(tightly)) }}{%- endmacro %}

{% macro duckdb__pack_strings(tightly) -%}
set disabled_compression_methods = '{{ "" if tightly else "fsst,dict_fsst,zstd" }}'
{%- endmacro %}

{% macro default__pack_strings(tightly) -%}select 1{%- endmacro %}
