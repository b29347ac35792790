-- OneID: which person an identifier belongs to. One row is one identifier.
-- person_id is the hash of the person's founding identifier, the first that ever arrived: it can be derived again from
-- raw anywhere, and survives everything that does not change which identifiers belong together.
with identifiers as (
    select * from {{ ref('identifier') }}
    where blocked_reason is null
),

components as (
    select * from {{ ref('identity_component') }}
),

labelled as (
    select
        identifiers.*,
        coalesce(components.component_key, identifiers.identifier_key) as component_key
    from identifiers
    left join components on identifiers.identifier_key = components.identifier_key
),

founders as (
    select
        component_key,
        arg_min(
            { 'type': identifier_type, 'value': identifier_value },
            { 'sequence': first_sequence, 'priority': priority, 'key': identifier_key }
        ) as founder
    from labelled
    group by component_key
),

final as (
    select
        'p_' || md5(founders.founder.type || ':' || founders.founder.value) as person_id,
        labelled.identifier_key,
        labelled.identifier_type,
        labelled.identifier_value,
        labelled.first_sequence,
        labelled.first_seen_at,
        labelled.last_seen_at,
        labelled.record_count,
        labelled.is_shared,
        founders.founder.type as founding_identifier_type,
        founders.founder.type = labelled.identifier_type and founders.founder.value = labelled.identifier_value as is_founding
    from labelled
    inner join founders on labelled.component_key = founders.component_key
)

select * from final
