{#- Number of the calendar period (UTC) that a time lies in; 0 without a period, 999999 for an unknown time. -#}
{% macro period_number(period, time) -%}
    case
        when {{ period }} is null then 0
        when {{ time }} is null then 999999
        when {{ period }} = 'day' then date_diff('day', date '1900-01-01', {{ time }}::date)
        when {{ period }} = 'week' then date_diff('week', date '1900-01-01', {{ time }}::date)
        when {{ period }} = 'month' then date_diff('month', date '1900-01-01', {{ time }}::date)
        when {{ period }} = 'year' then date_diff('year', date '1900-01-01', {{ time }}::date)
    end
{%- endmacro %}

{#- The normalised form of a value whose type stands in another column, by the normaliser that the types' seed names. -#}
{% macro normalise_as(type, value) -%}
    case (select types.normaliser from {{ ref('identifier_types') }} as types where types.name = {{ type }})
        when 'exact' then {{ normalise_exact(value) }}
        when 'lower' then {{ normalise_lower(value) }}
        when 'upper' then {{ normalise_upper(value) }}
        when 'email' then {{ normalise_email(value) }}
        when 'phone' then {{ normalise_phone(value) }}
    end
{%- endmacro %}
