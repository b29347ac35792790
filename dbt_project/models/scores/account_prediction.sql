-- What predictive models say of accounts. One row is one account and model, as last scored; accounts that are gone since (merged,
-- erased) are left out until the next scoring.
{{ predictions_of('account', ref('account'), 'account_key') }}
