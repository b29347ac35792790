{#-
  What one row of a model is: `key` names each row once, and the columns of `filled` are never empty. One scan and one test
  for what `unique` and `not_null` would take a query per column for: the demo project had 330 of those, at 50 ms and more each.
  Fails with the number of rows that break a promise; one row of the result is one promise that does not hold.
  key: column or SQL expression (optional), filled: columns.
-#}
{% test grain(model, key=none, filled=[]) %}
{{ config(fail_calc='coalesce(sum(broken_rows), 0)') }}

with measured as (
    select
        {%- for column in filled %}
        count(*) - count({{ column }}) as empty_{{ loop.index }},
        {%- endfor %}
        {% if key %}count(*) - count(distinct {{ key }}){% else %}0{% endif %} as repeated
    from {{ model }}
),

promises as (
    select 'key is empty or stands twice' as promise, repeated as broken_rows from measured
    {%- for column in filled %}
    union all
    select '{{ column }} is empty' as promise, empty_{{ loop.index }} as broken_rows from measured
    {%- endfor %}
)

select * from promises
where broken_rows > 0
{% endtest %}
