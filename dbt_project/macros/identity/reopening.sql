{#-
How identity is built incrementally. `identity_reopened` names the identifiers and records that a run computes anew: all of
the components that changed rows touch. The models below it delete the rows of those keys (`forget`) and insert what is
computed from `identity_observations()`. On a first run, a full refresh or a changed rule everything is computed.
-#}

{#- Part of what decides the tables beside data and rules: raise it when the SQL of the engine changes its meaning. -#}
{% macro identity_version() %}{{ return("1") }}{% endmacro %}

{#- A table of the last run beside the model that asks; none when there is none. -#}
{% macro identity_table(name) %}{{ return(adapter.get_relation(this.database, this.schema, name)) }}{% endmacro %}

{#- Whether this run computes a part (true) or all (false). -#}
{% macro identity_is_partial() -%}
    {%- if not execute or not is_incremental() -%}
        {{ return(false) }}
    {%- endif -%}
    {{ return(run_query("select count(*) from " ~ ref('identity_reopened') ~ " where kind = 'all'").columns[0].values()[0] == 0) }}
{%- endmacro %}

{#- The observations a run reads: those of the reopened records, or all. -#}
{% macro identity_observations() -%}
    {{ return(ref('observation_reopened') if identity_is_partial() else ref('identifier_observation')) }}
{%- endmacro %}

{#- A condition: the column's key is computed in this run. -#}
{% macro is_reopened(column, kind='identifier') -%}
    {%- if identity_is_partial() -%}
        {{ column }} in (select reopened.key from {{ ref('identity_reopened') }} as reopened where reopened.kind = '{{ kind }}')
    {%- else -%}
        true
    {%- endif -%}
{%- endmacro %}

{#- For a model's pre-hook: take out what this run computes. -#}
{% macro forget(column, kind='identifier') -%}
    {%- if is_incremental() -%}
        delete from {{ this }} where {{ is_reopened(column, kind) }}
    {%- else -%}
        select 1
    {%- endif -%}
{%- endmacro %}

{#- The rules as text, one row a rule; when one changes, everything is computed. -#}
{% macro identity_rules() -%}
    select md5(cast(types as varchar)) as rule_digest from {{ ref('identifier_types') }} as types
    union all
    select md5(cast(blocked as varchar)) as rule_digest from {{ ref('blocked_identifiers') }} as blocked
    union all
    select md5('version {{ identity_version() }}') as rule_digest
{%- endmacro %}
