{#- Hashes that are the same in every engine and version (md5), so that keys can be derived again anywhere. -#}

{#- 63 bits of a text as bigint: joins on it cost a quarter of joins on the text. -#}
{% macro hash_key(text) -%}{{ return(adapter.dispatch('hash_key')(text)) }}{%- endmacro %}

{% macro duckdb__hash_key(text) -%}((md5_number_lower({{ text }}) >> 1)::bigint){%- endmacro %}

{% macro spark__hash_key(text) -%}
    (cast(conv(substr(md5({{ text }}), 17, 16), 16, 10) as decimal(20, 0)) div 2)
{%- endmacro %}
