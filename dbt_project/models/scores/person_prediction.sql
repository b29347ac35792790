-- What predictive models say of persons. One row is one person and model, as last scored; persons that are gone since (merged,
-- erased) are left out until the next scoring.
with predictions as (
    select * from {{ source('predictions', 'prediction') }}
    where grain = 'person'
),

persons as (
    select person_id from {{ ref('person') }}
),

final as (
    select
        persons.person_id,
        predictions.model,
        predictions.probability,
        predictions.expected_orders,
        predictions.expected_value,
        ntile(10) over (
            partition by predictions.model
            order by coalesce(predictions.expected_value, predictions.probability) desc, persons.person_id asc
        ) as decile,
        predictions.version,
        predictions.as_of as scored_as_of
    from predictions
    inner join persons on predictions.entity_id = persons.person_id
)

select * from final
