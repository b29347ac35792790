{#- Hashes that are the same in every engine and version (md5), so that keys can be derived again anywhere. -#}

{#- 63 bits of a text as bigint: joins on it cost a quarter of joins on the text. -#}
{% macro hash_key(text) -%}{{ return(adapter.dispatch('hash_key')(text)) }}{%- endmacro %}

{% macro duckdb__hash_key(text) -%}((md5_number_lower({{ text }}) >> 1)::bigint){%- endmacro %}

{% macro spark__hash_key(text) -%}
    (cast(conv(substr(md5({{ text }}), 17, 16), 16, 10) as decimal(20, 0)) div 2)
{%- endmacro %}

{#- A bigint key in another order for every second round (two, because the second gathers what the first made a star);
applied twice it is the key again. The constants are multiples of 2^64 divided by the golden ratio (Knuth, The Art of
Computer Programming 3, 6.4), modulo 2^63: any two bits differ in about half of them. -#}
{% macro mixed_key(key, round) -%}
    {{ return(adapter.dispatch('mixed_key')(key, (round // 2 + 1) * 11400714819323198485 % 9223372036854775808)) }}
{%- endmacro %}

{% macro duckdb__mixed_key(key, constant) -%}xor({{ key }}, {{ constant }}){%- endmacro %}

{% macro spark__mixed_key(key, constant) -%}(({{ key }}) ^ {{ constant }}L){%- endmacro %}
