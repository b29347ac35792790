-- What this run computes anew. One row is one key: an identifier or a record; or one row of the kind `all`.
-- Changed rows are found against `identity_processed`, the state of the last run that reached its end: provider by provider
-- up to the highest sequence it had, by count and digest; only a provider that differs is compared row by row.
-- A run that was killed leaves its rows here, and the next run takes them over.
-- Which of the inputs are read depends on whether there is a state.
-- noqa: disable=ST03
{%- set processed = identity_table('identity_processed') -%}
{%- set components = identity_table('identity_component') -%}
{%- set identifiers = identity_table('identifier') -%}
{%- set applied = identity_table('identity_rule_applied') -%}
{%- set before = identity_table('identity_reopened') -%}
{%- set is_new = not execute or flags.FULL_REFRESH or not (processed and components and identifiers and applied and before) %}
{%- if not is_new -%}
    {%- set differing = run_query(
        "select count(*) from ((" ~ identity_rules() ~ " except select rule_digest from " ~ applied ~ " where kind = 'rule') union all"
        ~ " (select rule_digest from " ~ applied ~ " where kind = 'rule' except (" ~ identity_rules() ~ "))"
        ~ " union all select kind from " ~ before ~ " where kind = 'all') as found"
    ).columns[0].values()[0] -%}
    {%- set is_new = differing > 0 -%}
{%- endif %}

-- depends_on: {{ ref('identifier_types') }}, {{ ref('blocked_identifiers') }}
with observations as (
    select
        provider,
        record_key,
        identifier_key,
        sequence,
        {{ row_digest('record_key, identifier_key, sequence, tier, observed_at') }} as row_digest
    from {{ ref('identifier_observation') }}
    where identifier_key is not null
),

decisions as (
    select
        override_digest as rule_digest,
        left_key,
        right_key
    from {{ ref('int_identity__override_keyed') }}
),

{% if is_new %}
final as (
    select
        'all' as kind,
        0::bigint as key
)
{% else %}
processed as (
    select * from {{ processed }}
),

watermarks as (
    select
        provider,
        max(sequence) as watermark,
        count(*) as row_count,
        sum(row_digest) as digest
    from processed
    group by provider
),

found as (
    select
        observations.provider,
        count(*) as row_count,
        sum(observations.row_digest) as digest
    from observations
    inner join watermarks on observations.provider = watermarks.provider and observations.sequence <= watermarks.watermark
    group by observations.provider
),

-- providers whose rows are as they were: only what lies above their watermark is new
intact as (
    select watermarks.*
    from watermarks
    inner join found
        on watermarks.provider = found.provider
        and watermarks.row_count = found.row_count
        and watermarks.digest = found.digest
),

candidates as (
    select observations.*
    from observations
    left join intact on observations.provider = intact.provider
    where intact.provider is null or observations.sequence > intact.watermark
),

doubtful as (
    select processed.*
    from processed
    anti join intact on processed.provider = intact.provider
),

added as (
    select
record_key,
identifier_key,
row_digest
from candidates
    except all
    select
record_key,
identifier_key,
row_digest
from doubtful
),

removed as (
    select
record_key,
identifier_key,
row_digest
from doubtful
    except all
    select
record_key,
identifier_key,
row_digest
from candidates
),

changed as (
    select
record_key,
identifier_key
from added
    union
    select
record_key,
identifier_key
from removed
),

-- what was shared and lost a record may stitch again: then it ties what stands beside it
released as (
    select processed.identifier_key
    from processed
    semi join removed on processed.record_key = removed.record_key
    semi join {{ identifiers }} as identifiers on processed.identifier_key = identifiers.identifier_key and identifiers.is_shared
),

released_records as (
    select observations.record_key
    from observations
    semi join released on observations.identifier_key = released.identifier_key
),

changed_decisions as (
    (
        select
rule_digest,
left_key,
right_key
from decisions
        except
        select
rule_digest,
left_key,
right_key
from {{ applied }}
where kind <> 'rule'
    )
    union all
    (
        select
rule_digest,
left_key,
right_key
from {{ applied }}
where kind <> 'rule'
        except
        select
rule_digest,
left_key,
right_key
from decisions
    )
),

touched_first as (
    select identifier_key from changed
    union
    select processed.identifier_key from processed semi join changed on processed.record_key = changed.record_key
    union
    select observations.identifier_key
    from observations
    semi join released_records on observations.record_key = released_records.record_key
    union
    select left_key as identifier_key from changed_decisions
    union
    select right_key as identifier_key from changed_decisions
    union
    select key as identifier_key from {{ before }}
where kind = 'identifier'
),

-- a decision that waited for one of its identifiers brings in the other
touched as (
    select identifier_key from touched_first
    union
    select decisions.left_key from decisions semi join touched_first on decisions.right_key = touched_first.identifier_key
    union
    select decisions.right_key from decisions semi join touched_first on decisions.left_key = touched_first.identifier_key
),

touched_components as (
    select distinct components.component_key
    from {{ components }} as components
    semi join touched on components.identifier_key = touched.identifier_key
),

identifiers as (
    select identifier_key from touched
    union
    select components.identifier_key
    from {{ components }} as components
    semi join touched_components on components.component_key = touched_components.component_key
),

records as (
    select observations.record_key from observations semi join identifiers on observations.identifier_key = identifiers.identifier_key
    union
    select record_key from changed
    union
    select key from {{ before }}
where kind = 'record'
),

final as (
    select
        'identifier' as kind,
        identifier_key as key
    from identifiers
    union all
    select
        'record' as kind,
        record_key as key
    from records
)
{% endif %}

select * from final
