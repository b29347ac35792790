{#-
What keeps a history that is made run by run. Its rows have person_number (who it is now), recorded_number (who it was when the row
was written; both of models/profiles/person_number.sql) and the two times of a stay.
-#}

{#- A run at as_of first takes back what was recorded at or after as_of: repeating a run changes nothing. -#}
{% macro take_back(entered_at, exited_at) -%}
    {% if is_incremental() %}
        delete from {{ this }} where {{ entered_at }} >= {{ as_of() }};
        update {{ this }} set {{ exited_at }} = null where {{ exited_at }} >= {{ as_of() }}
    {% endif %}
{%- endmacro %}

{#- Rows of a person who was merged into another go to that one; after a split they go back. A person_id is the hash of
an identifier (models/identity/person_identifier.sql), so who has that identifier now is who the person is now. -#}
{% macro carry_along() -%}
    {#- outside the condition: dbt gathers references when it parses, and nothing is incremental then -#}
    {%- set person, person_identifier, numbers = ref('person'), ref('person_identifier'), ref('person_number') -%}
    {% if is_incremental() %}
        update {{ this }} as history
        set person_number = found.person_number
        from (
            select
                gone.person_number as recorded_number,
                coalesce(now.person_number, gone.person_number) as person_number
            from (
                select *
                from {{ numbers }}
                where person_id not in (select person_id from {{ person }})
                    or person_number in (select recorded_number from {{ this }} where recorded_number <> person_number)
            ) as gone
            left join (
                select
                    'p_' || md5(identifier_type || ':' || identifier_value) as founded_person_id,
                    min(person_id) as person_id
                from {{ person_identifier }}
                group by founded_person_id
            ) as heir on gone.person_id = heir.founded_person_id
            left join {{ numbers }} as now on heir.person_id = now.person_id
        ) as found
        where history.recorded_number = found.recorded_number
            and history.person_number <> found.person_number
    {% endif %}
{%- endmacro %}

{#- When the history last recorded anything. Persons whose row of a wide table was written before have what their open stays say. As a
variable: a condition with a constant is tested where the wide table is read, before its columns become rows. -#}
{% macro remember_recorded(entered_at, exited_at) -%}
    {% if is_incremental() %}
        set variable recorded_until = (
            select coalesce(greatest(max({{ entered_at }}), max({{ exited_at }})), timestamp '-infinity') from {{ this }}
        )
    {% endif %}
{%- endmacro %}

{% macro recorded_until() -%}
cast(getvariable('recorded_until') as timestamp)
{%- endmacro %}

{#- Persons with stays of somebody who has become one with them: they may part again, so these are compared in every run. -#}
{% macro joined_persons(exited_at) -%}
select distinct person_number
from {{ this }}
where recorded_number <> person_number
    and {{ exited_at }} is null
{%- endmacro %}

{#- Persons of whom nothing is to be compared. Who is in no row of the wide table any more is not among them. -#}
{% macro settled(wide, exited_at) -%}
select person_number
from {{ wide }}
where written_at < {{ recorded_until() }}
    and person_number not in ({{ joined_persons(exited_at) }})
{%- endmacro %}

{#- The stays of a history by who the persons are now: of persons who have become one, stays that meet are one stay. -#}
{% macro stays_of_persons(history, keys, entered_at, exited_at) -%}
{%- set keyed = keys | join(', ') -%}
with stays as (
    select * from {{ history }}
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
