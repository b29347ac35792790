{#-
What keeps a history that is made run by run. Its rows have person_id (who it is now), recorded_person_id (who it was when the row
was written) and the two times of a stay.
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
    {%- set person, person_identifier = ref('person'), ref('person_identifier') -%}
    {% if is_incremental() %}
        update {{ this }} as history
        set person_id = found.person_id
        from (
            select
                gone.recorded_person_id,
                coalesce(heir.person_id, gone.recorded_person_id) as person_id
            from (
                select distinct recorded_person_id
                from {{ this }}
                where recorded_person_id <> person_id
                    or recorded_person_id not in (select person_id from {{ person }})
            ) as gone
            left join (
                select
                    'p_' || md5(identifier_type || ':' || identifier_value) as founded_person_id,
                    min(person_id) as person_id
                from {{ person_identifier }}
                group by founded_person_id
            ) as heir on gone.recorded_person_id = heir.founded_person_id
        ) as found
        where history.recorded_person_id = found.recorded_person_id
            and history.person_id <> found.person_id
    {% endif %}
{%- endmacro %}
