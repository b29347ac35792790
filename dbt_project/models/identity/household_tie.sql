-- What puts two persons into one household (rules: seeds/accounts/household_rules.csv). One row is one pair of persons and rule.
-- Households are a graph of their own beside the identity graph: nothing here ties identifiers, so persons are never merged by it.
with rules as (
    select * from {{ ref('household_rules') }}
    where is_active
),

records as (
    select
        sequence,
        person_id
    from {{ ref('record_person') }}
),

attributes as (
    select
        attributes.sequence,
        attributes.observed_at,
        attributes.attribute,
        lower(trim(regexp_replace(attributes.attribute_value, '\s+', ' ', 'g'))) as value
    from {{ ref('contact_attribute') }} as attributes
    where attributes.attribute in (
        select r.name from rules as r
        union all
        select r.same_attribute from rules as r
    )
),

unblocked as (
    select identifier_key
    from {{ ref('identifier') }}
    where blocked_reason is null
),

-- a shared value that was seen with nothing else is a person of its own, but nobody who lives anywhere
nothing_else as (
    select
        person_id,
        min(identifier_key) as identifier_key
    from {{ ref('person_identifier') }}
    group by person_id
    having count(*) = 1
),

-- who was seen beside a value: several persons only where it does not stitch, or an edge was refused
seen as (
    select
        rules.rule,
        observations.identifier_value as value,
        records.person_id,
        observations.observed_at
    from {{ ref('identifier_observation') }} as observations
    inner join rules on rules.evidence = 'identifier' and observations.identifier_type = rules.name
    inner join unblocked on observations.identifier_key = unblocked.identifier_key
    inner join records on observations.sequence = records.sequence
    anti join nothing_else
        on records.person_id = nothing_else.person_id
        and observations.identifier_key = nothing_else.identifier_key
    union all
    select
        rules.rule,
        attributes.value,
        records.person_id,
        attributes.observed_at
    from attributes
    inner join rules on rules.evidence = 'attribute' and attributes.attribute = rules.name
    inner join records on attributes.sequence = records.sequence
    where attributes.value <> ''
),

holders as (
    select
        seen.rule,
        seen.value,
        seen.person_id,
        min(seen.observed_at) as first_seen_at
    from seen
    group by seen.rule, seen.value, seen.person_id
),

-- an office or a shop is no household
counted as (
    select
        holders.*,
        count(*) over (partition by holders.rule, holders.value) as holder_count
    from holders
    inner join rules on holders.rule = rules.rule
    qualify holder_count between 2 and rules.max_people
),

traits as (
    select distinct
        records.person_id,
        attributes.attribute,
        attributes.value
    from attributes
    inner join records on attributes.sequence = records.sequence
),

pairs as (
    select
        a.person_id as left_person_id,
        b.person_id as right_person_id,
        rules.rule,
        rules.same_attribute,
        greatest(a.first_seen_at, b.first_seen_at) as tied_at
    from counted as a
    inner join counted as b on a.rule = b.rule and a.value = b.value and a.person_id < b.person_id
    inner join rules on a.rule = rules.rule
),

agreeing as (
    select distinct
        l.person_id as left_person_id,
        r.person_id as right_person_id,
        l.attribute
    from traits as l
    inner join traits as r on l.attribute = r.attribute and l.value = r.value and l.person_id < r.person_id
),

final as (
    select
        pairs.left_person_id,
        pairs.right_person_id,
        {{ hash_key('pairs.left_person_id') }} as left_key,
        {{ hash_key('pairs.right_person_id') }} as right_key,
        pairs.rule,
        min(pairs.tied_at) as tied_at
    from pairs
    left join agreeing
        on pairs.left_person_id = agreeing.left_person_id
        and pairs.right_person_id = agreeing.right_person_id
        and pairs.same_attribute = agreeing.attribute
    where pairs.same_attribute is null
        or agreeing.attribute is not null
    group by pairs.left_person_id, pairs.right_person_id, pairs.rule
)

select * from final
