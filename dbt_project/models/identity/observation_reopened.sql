-- The observations of the records that this run computes anew; empty when it computes all. One row is one identifier on one record.
select
    observations.provider,
    observations.source,
    observations.record_id,
    observations.record_key,
    observations.sequence,
    observations.observed_at,
    observations.identifier_type,
    observations.identifier_value,
    observations.identifier_key,
    observations.tier
from {{ ref('identifier_observation') }} as observations
where observations.record_key in (select reopened.key from {{ ref('identity_reopened') }} as reopened
where reopened.kind = 'record')
    and observations.identifier_key is not null
