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
                where person_number not in (select person_number from {{ person }})
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

{#- A history begins with a row of bits for each person (`begun`: person_number, recorded_number, part, bits, kept_values, one time):
what is `packed` in the run in which nothing was recorded yet. Later runs add a row for each change, to another table (`changes`, by
name: it reads this one). Where changes were recorded without a beginning, everybody's entry is one of them. -#}
{% macro begin_with(packed, entered_at, changes) -%}
{%- set recorded = adapter.get_relation(database=this.database, schema=this.schema, identifier=changes) if execute -%}
select
    packed.person_number,
    packed.person_number as recorded_number,
    packed.part,
    packed.bits,
    packed.kept_values,
    {{ as_of() }} as {{ entered_at }}
from {{ packed }} as packed
where true
    {% if is_incremental() %}
    and not exists (select 1 from {{ this }})
    {% endif %}
    {% if recorded %}
    and not exists (
        select 1 from {{ recorded }}
        where {{ entered_at }} < {{ as_of() }}
    )
    {% endif %}
{%- endmacro %}

{#- Rows of bits as a row for each name that holds; `columns`: what each row keeps of them. -#}
{% macro unpacked(packed, layout, columns) -%}
select
    {% for column in columns %}packed.{{ column }},
    {% endfor %}layout.name,
    coalesce(packed.kept_values[layout.place], layout.said) as value
from {{ packed }} as packed
inner join {{ layout }} as layout on packed.part = layout.part
where packed.bits[layout.word] & layout.mask <> 0
{%- endmacro %}

{#- When the history last recorded anything. Persons whose row of a wide table was written before have what their open stays say. -#}
{% macro remember_recorded(entered_at, exited_at, begun) -%}
    set variable recorded_until = (
        select coalesce(max(last_at), timestamp '-infinity')
        from (
            select max({{ entered_at }}) as last_at
            from {{ begun }}
            {% if is_incremental() %}
            union all
            select greatest(max({{ entered_at }}), max({{ exited_at }})) as last_at
            from {{ this }}
            {% endif %}
        )
    )
{%- endmacro %}

{% macro recorded_until() -%}
cast(getvariable('recorded_until') as timestamp)
{%- endmacro %}

{#- The as_of of rows of a wide table that are written now, for the table and the two times of its history. Where the history has
already recorded this as_of (a run is repeated, or goes back), it is a microsecond more: so what was written up to the moment that
was recorded last has been compared. By name: the history reads this table. -#}
{% macro written_at(history, entered_at, exited_at) -%}
{%- set stays = adapter.get_relation(database=this.database, schema=this.schema, identifier=history ~ '__stays') if execute -%}
{%- set begun = adapter.get_relation(database=this.database, schema=this.schema, identifier=history ~ '__begun') if execute -%}
{{ as_of() }}
{%- if stays %}
    + to_microseconds(cast(exists (select 1 from {{ stays }} where {{ entered_at }} >= {{ as_of() }} or {{ exited_at }} >= {{ as_of() }})
    {%- if begun %} or exists (select 1 from {{ begun }} where {{ entered_at }} >= {{ as_of() }}){% endif %} as integer))
{%- endif %}
{%- endmacro %}

{#- The first steps of a history's run: `touched`, persons of whom it has to compare what is with what was recorded, and `packed_now`,
which has their bits. That is who was written since, but not who has the very bits that the history began with and no change since.
Who is in no row of the wide table any more is not among them. -#}
{% macro touched_persons(wide, packed, begun, entered_at, exited_at) -%}
-- with stays of somebody who has become one with them: they may part again, so they are compared in every run
joined as (
    select found.person_number
    from (
        select person_number
        from {{ begun }}
        where recorded_number <> person_number
        {% if is_incremental() %}
        union
        select person_number
        from {{ this }}
        where recorded_number <> person_number
            and {{ exited_at }} is null
        {% endif %}
    ) as found
    semi join {{ wide }} as wide on found.person_number = wide.person_number
),

written as (
    select wide.person_number
    from {{ wide }} as wide
    anti join (
        select * from {{ begun }}
        where {{ entered_at }} = {{ as_of() }}
    ) as just_begun on wide.person_number = just_begun.person_number
    where wide.written_at > {{ recorded_until() }}
    union
    select person_number from joined
),

-- once, as it computes everybody's bits
packed_now as materialized (
    select packed.*
    from {{ packed }} as packed
    semi join written on packed.person_number = written.person_number
),

began as (
    select begun.*
    from {{ begun }} as begun
    semi join written on begun.recorded_number = written.person_number
),

touched as materialized (
    select coalesce(packed_now.person_number, began.recorded_number) as person_number
    from packed_now
    full join began
        on packed_now.person_number = began.recorded_number
        and packed_now.part = began.part
        and packed_now.bits = began.bits
        and packed_now.kept_values = began.kept_values
    where packed_now.person_number is null
        or began.recorded_number is null
    {% if is_incremental() %}
    union
    select changes.recorded_number
    from {{ this }} as changes
    semi join written on changes.recorded_number = written.person_number
    {% endif %}
    union
    select person_number from joined
)
{%- endmacro %}

{#- What the history began with, as open stays: those of which no change has been recorded, where there are any. `named`: columns of
the history for the name and the value of a bit. -#}
{% macro begun_stays(begun, layout, named, entered_at, changes=none) -%}
select
    {% for column, key in named.items() %}begun.{{ column }} as {{ key }},
    {% endfor %}begun.person_number,
    begun.recorded_number,
    begun.{{ entered_at }}
from ({{ unpacked(begun, layout, ['person_number', 'recorded_number', entered_at]) }}) as begun
{% if changes %}
anti join {{ changes }} as changes
    on begun.recorded_number = changes.recorded_number
    and begun.name = changes.{{ named['name'] }}
    and begun.{{ entered_at }} = changes.{{ entered_at }}
{% endif %}
{%- endmacro %}

{#- The next steps of a history's run: `stays`, the open ones of persons who are to be compared. Of the others all stays are settled; who
is nobody any more has none that are. `compared`: a condition on further stays, for which there are no bits. -#}
{% macro open_stays(wide, begun, layout, named, entered_at, exited_at, compared='false') -%}
-- who is to be compared, and who is nobody any more: of them alone the bits are read
concerned as materialized (
    select person_number from touched
    union
    select found.person_number
    from (
        select person_number from {{ begun }}
        {% if is_incremental() %}
        union all
        select person_number from {{ this }}
        where {{ exited_at }} is null
        {% endif %}
    ) as found
    anti join {{ wide }} as wide on found.person_number = wide.person_number
),

begun as (
    select begun.*
    from {{ begun }} as begun
    semi join concerned on begun.person_number = concerned.person_number
),

stays as (
    {{ begun_stays('begun', layout, named, entered_at, this if is_incremental() else none) }}
    {% if is_incremental() %}
    union all
    select
        {% for key in named.values() %}stays.{{ key }},
        {% endfor %}stays.person_number,
        stays.recorded_number,
        stays.{{ entered_at }}
    from {{ this }} as stays
    where stays.{{ exited_at }} is null
        and (stays.person_number in (select person_number from concerned) or {{ compared }})
    {% endif %}
)
{%- endmacro %}
