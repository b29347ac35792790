-- Which household a person lives in. One row is one person of a household of at least two.
-- household_id is the hash of the member who was founded first: it can be derived again from raw anywhere.
{%- set edges = "select left_key, right_key from " ~ ref('household_tie') %}

with ties as (
    select * from {{ ref('household_tie') }}
),

labels as (
    {{ connected_components(edges) }}
),

founded as (
    select
        person_id,
        min(first_sequence) as first_sequence
    from {{ ref('person_identifier') }}
    group by person_id
),

tied as (
    select
        left_person_id as person_id,
        rule,
        tied_at
    from ties
    union all
    select
        right_person_id as person_id,
        rule,
        tied_at
    from ties
),

reasons as (
    select
        person_id,
        min(tied_at) as joined_at,
        array_to_string(list_sort(list_distinct(list(rule))), ', ') as rules
    from tied
    group by person_id
),

members as (
    select
        reasons.*,
        labels.component_key,
        founded.first_sequence
    from reasons
    inner join labels on {{ hash_key('reasons.person_id') }} = labels.node_key
    inner join founded on reasons.person_id = founded.person_id
),

final as (
    select
        'h_' || md5(first_value(person_id) over (partition by component_key order by first_sequence asc, person_id asc)) as household_id,
        person_id,
        joined_at,
        rules,
        count(*) over (partition by component_key) as person_count
    from members
)

select * from final
