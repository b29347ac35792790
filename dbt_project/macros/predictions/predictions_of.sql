{#- What models say of one kind of entity, without those that are gone: `key` is the column that names it in `entities`. -#}
{% macro predictions_of(grain, entities, key) -%}
with predictions as (
    select * from {{ source('predictions', 'prediction') }}
    where grain = '{{ grain }}'
),

entities as (
    select {{ key }} from {{ entities }}
),

final as (
    select
        entities.{{ key }},
        predictions.model,
        predictions.probability,
        predictions.expected_orders,
        predictions.expected_value,
        ntile(10) over (
            partition by predictions.model
            order by coalesce(predictions.expected_value, predictions.probability) desc, entities.{{ key }} asc
        ) as decile,
        predictions.version,
        predictions.as_of as scored_as_of
    from predictions
    inner join entities on predictions.entity_id = entities.{{ key }}
)

select * from final
{%- endmacro %}
