-- The observations of the records that this run computes anew; empty when it computes all. One row is one identifier on one record.
select observations.*
from {{ ref('identifier_observation') }} as observations
where observations.record_key in (select reopened.key from {{ ref('identity_reopened') }} as reopened
where reopened.kind = 'record')
    and observations.identifier_key is not null
