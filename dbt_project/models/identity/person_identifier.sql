-- OneID: which person an identifier belongs to. One row is one identifier.
-- person_id is the hash of the person's founding identifier, the first that ever arrived: it can be derived again from
-- raw anywhere, and survives everything that does not change which identifiers belong together.
{{ config(materialized='incremental', incremental_strategy='append', on_schema_change='fail', pre_hook="{{ forget('identifier_key') }}") }}

-- depends_on: {{ ref('identity_reopened') }}, {{ ref('identity_component') }}, {{ ref('identity_replay') }}
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
            i.identifier_type as founding_identifier_type,
            'p_' || md5(i.identifier_type || ':' || i.identifier_value) as person_id
        from " ~ ref('identifier') ~ " as i
        inner join identity_founder as f on i.identifier_key = f.founder_key"
    ) -%}
{%- endif %}
with identifiers as (
    select * from {{ ref('identifier') }}
),

labelled as (
    select
        identifier_key,
        person_key
    from identity_labelled
),

persons as (
    select * from identity_named
),

final as (
    select
        persons.person_id,
        identifiers.identifier_key,
        identifiers.identifier_type,
        identifiers.identifier_value,
        identifiers.first_sequence,
        identifiers.first_seen_at,
        identifiers.last_seen_at,
        identifiers.record_count,
        identifiers.is_shared,
        persons.founding_identifier_type,
        persons.founder_key = identifiers.identifier_key as is_founding
    from identifiers
    inner join labelled on identifiers.identifier_key = labelled.identifier_key
    inner join persons on labelled.person_key = persons.person_key
)

select * from final
