{#- Hashes that are the same in every engine and version (md5), so that keys can be derived again anywhere. -#}

{#- 63 bits of a text as bigint: joins on it cost a quarter of joins on the text. -#}
{% macro hash_key(text) -%}{{ return(adapter.dispatch('hash_key')(text)) }}{%- endmacro %}

{#- The same 63 bits as md5_number_lower(text) >> 1, at a fifth of its time. -#}
{% macro duckdb__hash_key(text) -%}((md5_number({{ text }}) >> 65)::bigint){%- endmacro %}

{% macro spark__hash_key(text) -%}
    (cast(conv(substr(md5({{ text }}), 17, 16), 16, 10) as decimal(20, 0)) div 2)
{%- endmacro %}

{#- 63 bits of a text by the engine's own hash, at a twentieth of md5's time: for keys of what is made and read by one version. -#}
{% macro passing_key(text) -%}{{ return(adapter.dispatch('passing_key')(text)) }}{%- endmacro %}

{% macro duckdb__passing_key(text) -%}((hash({{ text }}) >> 1)::bigint){%- endmacro %}

{#- A hash of another form of the text: two texts under one passing key differ here. -#}
{% macro passing_check(text) -%}{{ return(adapter.dispatch('passing_check')(text)) }}{%- endmacro %}

{% macro duckdb__passing_check(text) -%}hash('/' || {{ text }}){%- endmacro %}

{#- 40 bits over columns, to be summed: tells whether rows are the same as before. Not kept beyond the engine's version. -#}
{% macro row_digest(columns) -%}{{ return(adapter.dispatch('row_digest')(columns)) }}{%- endmacro %}

{% macro duckdb__row_digest(columns) -%}((hash({{ columns }}) >> 24)::bigint){%- endmacro %}

{#- The number of a person (models/profiles/person_number.sql): md5_number_lower of the person_id, at a quarter of its time. -#}
{% macro number_of_person(person_id) -%}{{ return(adapter.dispatch('number_of_person')(person_id)) }}{%- endmacro %}

{% macro duckdb__number_of_person(person_id) -%}cast(md5_number({{ person_id }}) >> 64 as ubigint){%- endmacro %}

{#- 64 bits over all columns of a step, to be summed: tells whether rows are the same as before. Not kept beyond the engine's version. -#}
{% macro whole_row_digest(step) -%}{{ return(adapter.dispatch('whole_row_digest')(step)) }}{%- endmacro %}

{% macro duckdb__whole_row_digest(step) -%}hash({{ step }}){%- endmacro %}
