{#-
A raw table of events as the tracking plan lets it through: blocked events are left out, dropped properties, too. Raw itself stays whole, so
that a plan can be corrected. One row is one raw row. A plan that neither blocks nor drops costs nothing here.
-#}
{% macro enforced(source_name, record_table) %}
{%- set table = source_name ~ '__' ~ record_table -%}
{%- set effects = tracking_effects(table) -%}
{%- if not effects -%}
select * from {{ source('raw', table) }}
{%- else -%}
select
    landed.*
    {%- if 'drop' in effects %} replace (
        case
            when patches.patch is not null and landed.type not in ('identify', 'group') then json_merge_patch(landed.properties, patches.patch)
            else landed.properties
        end as properties,
        case
            when patches.patch is not null and landed.type in ('identify', 'group') then json_merge_patch(landed.traits, patches.patch)
            else landed.traits
        end as traits,
        case
            when patches.patch is not null and landed.type in ('identify', 'group') and json_type(landed.context, '$.traits') = 'OBJECT'
                then json_merge_patch(landed.context, json_object('traits', patches.patch))
            else landed.context
        end as context
    )
    {%- endif %}
from {{ source('raw', table) }} as landed
{%- if 'drop' in effects %}
left join (
    select
        sequence,
        json_group_object(dropped, null) as patch
    from (select distinct sequence, dropped from {{ ref('int_tracking__' ~ table ~ '_violated') }} where action = 'drop')
    group by sequence
) as patches on landed._cdp_sequence = patches.sequence
{%- endif %}
{%- if 'block' in effects %}
anti join (
    select sequence from {{ ref('int_tracking__' ~ table ~ '_violated') }} where action = 'block'
) as blocked on landed._cdp_sequence = blocked.sequence
{%- endif %}
{%- endif -%}
{% endmacro %}
