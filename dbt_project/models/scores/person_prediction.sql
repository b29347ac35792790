-- What predictive models say of persons. One row is one person and model, as last scored; persons that are gone since (merged,
-- erased) are left out until the next scoring.
{{ predictions_of('person', ref('person'), 'person_id') }}
