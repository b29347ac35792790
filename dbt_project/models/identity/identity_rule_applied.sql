-- The rules and decisions that the tables were built with. One row is one rule, override or matched pair.
-- It hangs on the last tables, so that rules count as applied only when all of them are built.

-- depends_on: {{ ref('record_person') }}, {{ ref('identity_event') }}
select
    'rule' as kind,
    rule_digest,
    null::bigint as left_key,
    null::bigint as right_key
from ({{ identity_rules() }}) as rules
union all
select
    action as kind,
    override_digest as rule_digest,
    left_key,
    right_key
from {{ ref('int_identity__override_keyed') }}
