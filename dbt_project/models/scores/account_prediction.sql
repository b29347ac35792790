-- What predictive models say of accounts. One row is one account and model, as last scored; accounts that are gone since (merged,
-- erased) are left out until the next scoring.
with predictions as (
    select * from {{ source('predictions', 'prediction') }}
    where grain = 'account'
),

accounts as (
    select account_key from {{ ref('account') }}
),

final as (
    select
        accounts.account_key,
        predictions.model,
        predictions.probability,
        predictions.expected_orders,
        predictions.expected_value,
        ntile(10) over (
            partition by predictions.model
            order by coalesce(predictions.expected_value, predictions.probability) desc, accounts.account_key asc
        ) as decile,
        predictions.version,
        predictions.as_of as scored_as_of
    from predictions
    inner join accounts on predictions.entity_id = accounts.account_key
)

select * from final
