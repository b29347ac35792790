{#- The tag library of WeCom where it is a source of this project, else none. -#}
{% macro wecom_tag_library() -%}
    {%- if is_active('wecom') -%}
        {{ ref('stg_wecom__corp_tags') }}
    {%- else -%}
        (select null::varchar as tag_id, null::varchar as tag_name, null::varchar as group_name where false)
    {%- endif -%}
{%- endmacro %}
