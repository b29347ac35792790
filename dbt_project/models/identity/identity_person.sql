-- OneID: which person an identifier belongs to, by key. One row is one identifier that is not blocked.
-- person_id is the hash of the person's founding identifier, the first that ever arrived: it can be derived again from
-- raw anywhere, and survives everything that does not change which identifiers belong together.
{{ config(materialized='incremental', incremental_strategy='append', on_schema_change='fail', pre_hook="{{ forget('identifier_key') }}") }}

-- depends_on: {{ ref('identity_reopened') }}, {{ ref('identifier') }}, {{ ref('identity_component') }}, {{ ref('identity_replay') }}
{%- if execute %}
    {#- temporary tables between the joins: DuckDB then knows how large each side is, and holds the narrow one in memory -#}
    {%- do run_query(
        "create or replace temp table identity_labelled as
        select
            i.identifier_key,
            i.seniority,
            coalesce(r.person_key, c.component_key, i.identifier_key) as person_key
        from " ~ ref('identifier') ~ " as i
        left join " ~ ref('identity_component') ~ " as c on i.identifier_key = c.identifier_key
        left join (
            select unnest(outcome.persons, recursive := true) from " ~ ref('identity_replay') ~ " where " ~ is_reopened('component_key') ~ "
        ) as r on i.identifier_key = r.identifier_key
        where i.blocked_reason is null and " ~ is_reopened('i.identifier_key')
    ) -%}
    {%- do run_query(
        "create or replace temp table identity_founder as
        select person_key, arg_min(identifier_key, seniority) as founder_key from identity_labelled group by person_key"
    ) -%}
    {%- do run_query(
        "create or replace temp table identity_named as
        select
            f.person_key,
            f.founder_key,
            'p_' || md5(i.identifier_type || ':' || i.identifier_value) as person_id
        from " ~ ref('identifier') ~ " as i
        inner join identity_founder as f on i.identifier_key = f.founder_key"
    ) -%}
{%- endif %}
with labelled as (
    select * from identity_labelled
),

persons as (
    select * from identity_named
),

final as (
    select
        labelled.identifier_key,
        persons.person_id,
        persons.founder_key
    from labelled
    inner join persons on labelled.person_key = persons.person_key
)

select * from final
