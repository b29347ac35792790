{#- Normalisers of identifiers, by the name that seeds/identity/identifier_types.csv gives. Null = cannot be used. -#}

{% macro normalise_exact(value) -%}nullif(trim({{ value }}), ''){%- endmacro %}

{% macro normalise_lower(value) -%}nullif(lower(trim({{ value }})), ''){%- endmacro %}

{% macro normalise_upper(value) -%}nullif(upper(trim({{ value }})), ''){%- endmacro %}

{#- E-mail: trimmed, lower case, spaces and a "+tag" taken out; dots of gmail do not count. -#}
{% macro normalise_email(value) -%}{{ return(adapter.dispatch('normalise_email')(value)) }}{%- endmacro %}

{% macro duckdb__normalise_email(value) -%}
    {%- set text = "regexp_replace(lower(translate(" ~ value ~ ", '＠．', '@.')), '\\s+', '', 'g')" -%}
    {%- set plain = "regexp_replace(" ~ text ~ ", '\\+[^@]*@', '@')" -%}
    nullif(case
        when {{ plain }} like '%@gmail.com' or {{ plain }} like '%@googlemail.com'
            then replace(split_part({{ plain }}, '@', 1), '.', '') || '@gmail.com'
        else {{ plain }}
    end, '')
{%- endmacro %}

{% macro normalise_phone(value) -%}{{ return(adapter.dispatch('normalise_phone')(value)) }}{%- endmacro %}

{% macro duckdb__normalise_phone(value) -%}
    cdp_phone_e164(nullif(trim(({{ value }})::varchar), ''), '{{ env_var("CDP_DEFAULT_REGION", "CN") }}')
{%- endmacro %}
