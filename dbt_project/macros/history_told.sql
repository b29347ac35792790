{#- How a history that is made run by run (macros/history.sql) is told of the persons of now. -#}

{#- The stays of a history by who the persons are now: of persons who have become one, stays that meet are one stay. What the history
began with counts where no change of it has been recorded. -#}
{% macro stays_of_persons(history, begun, layout, named, entered_at, exited_at) -%}
{%- set keys = named.values() | list -%}
{%- set keyed = keys | join(', ') -%}
with changes as (
    select * from {{ history }}
),

stays as (
    select
        {{ keyed }},
        person_number,
        recorded_number,
        {{ entered_at }},
        {{ exited_at }}
    from changes
    union all
    select
        *,
        cast(null as timestamp) as {{ exited_at }}
    from ({{ begun_stays(begun, layout, named, entered_at, 'changes') }}) as begun
),

-- persons with stays of several; all others have each stay as it was recorded
joined as (
    select distinct person_number
    from stays
    where recorded_number <> person_number
),

ordered as (
    select
        stays.*,
        max(coalesce({{ exited_at }}, timestamp 'infinity')) over (
            partition by {{ keyed }}, person_number order by {{ entered_at }}, recorded_number
            rows between unbounded preceding and 1 preceding
        ) as reaches_to
    from stays
    semi join joined on stays.person_number = joined.person_number
),

numbered as (
    select
        *,
        count(*) filter (where reaches_to is null or {{ entered_at }} > reaches_to) over (
            partition by {{ keyed }}, person_number order by {{ entered_at }}, recorded_number
        ) as stay_number
    from ordered
),

found as (
    select
        {{ keyed }},
        person_number,
        {{ entered_at }},
        {{ exited_at }}
    from stays
    anti join joined on stays.person_number = joined.person_number
    union all
    select
        {{ keyed }},
        person_number,
        min({{ entered_at }}) as {{ entered_at }},
        nullif(max(coalesce({{ exited_at }}, timestamp 'infinity')), timestamp 'infinity') as {{ exited_at }}
    from numbered
    group by
        {{ keyed }},
        person_number,
        stay_number
),

final as (
    select
        {% for key in keys %}found.{{ key }},
        {% endfor %}numbers.person_id,
        found.{{ entered_at }},
        found.{{ exited_at }}
    from found
    inner join {{ ref('person_number') }} as numbers on found.person_number = numbers.person_number
)

select * from final
{%- endmacro %}
