-- The observations that identity was built from, by which the next run sees what changed. One row is one observation.
-- It is built last. When it stands, nothing is left to be computed anew.
{{ config(
    materialized='incremental', incremental_strategy='append', on_schema_change='fail',
    pre_hook="{{ forget('record_key', 'record') }}",
    post_hook="delete from {{ ref('identity_reopened') }}"
) }}

-- depends_on: {{ ref('identity_reopened') }}, {{ ref('observation_reopened') }}, {{ ref('identifier_observation') }}
-- depends_on: {{ ref('identity_rule_applied') }}
select
    provider,
    record_key,
    identifier_key,
    sequence,
    {{ row_digest('record_key, identifier_key, sequence, tier, observed_at') }} as row_digest
from {{ identity_observations() }}
where identifier_key is not null
