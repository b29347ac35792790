{#- A naive local time (text or timestamp) of a time zone as a timestamp in UTC; null when it is no time. -#}
{% macro local_to_utc(local_time, time_zone) -%}
    ((try_cast({{ local_time }} as timestamp) at time zone {{ time_zone }}) at time zone 'UTC')
{%- endmacro %}
