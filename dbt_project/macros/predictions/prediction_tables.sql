{#- `cdp model score` writes predictions into these tables; before anything was scored they are empty. -#}
{% macro prediction_tables() -%}
    create schema if not exists predictions;
    create table if not exists predictions.prediction (
        entity_id varchar, grain varchar, model varchar, version varchar, as_of timestamp, probability double,
        expected_orders double, expected_value double
    );
    create table if not exists predictions.prediction_reason (
        entity_id varchar, grain varchar, model varchar, position bigint, feature varchar, feature_value varchar,
        effect double
    )
{%- endmacro %}
