-- Why a prediction is what it is. One row is one feature that moved the prediction of one person or account.
with reasons as (
    select * from {{ source('predictions', 'prediction_reason') }}
),

predicted as (
    select
        person_id as entity_id,
        'person' as grain,
        model
    from {{ ref('person_prediction') }}
    union all
    select
        account_key as entity_id,
        'account' as grain,
        model
    from {{ ref('account_prediction') }}
),

final as (
    select
        reasons.grain,
        reasons.entity_id,
        reasons.model,
        reasons.position,
        reasons.feature,
        reasons.feature_value,
        reasons.effect
    from reasons
    inner join predicted
        on reasons.entity_id = predicted.entity_id
        and reasons.grain = predicted.grain
        and reasons.model = predicted.model
)

select * from final
