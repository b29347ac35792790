-- The golden record's values and where each came from. One row is one attribute of one person: the value that survives.
-- Survivorship: the source of the best priority for the attribute (seeds/profiles/survivorship.csv), then the most
-- recent record, then the last to arrive.
with attributes as (
    select * from {{ ref('contact_attribute') }}
),

records as (
    select
        sequence,
        person_id
    from {{ ref('record_person') }}
),

priorities as (
    select * from {{ ref('survivorship') }}
),

ranked as (
    select
        records.person_id,
        attributes.attribute,
        attributes.attribute_value,
        attributes.source,
        attributes.record_id,
        attributes.observed_at,
        attributes.sequence,
        coalesce(own.priority, general.priority, 100) as source_priority
    from attributes
    inner join records on attributes.sequence = records.sequence
    left join priorities as own on attributes.attribute = own.attribute and attributes.source = own.source
    left join priorities as general on general.attribute = '*' and attributes.source = general.source
),

final as (
    select
        person_id,
        attribute,
        arg_min(
            { 'value': attribute_value, 'source': source, 'record_id': record_id, 'observed_at': observed_at },
            {
                'priority': source_priority,
                'age': -epoch_us(coalesce(observed_at, timestamp '1970-01-01')),
                'last': -sequence,
                'value': attribute_value
            }
        ) as winner,
        count(distinct attribute_value) as value_count
    from ranked
    group by person_id, attribute
)

select
    person_id,
    attribute,
    winner.value as attribute_value,
    winner.source as source,
    winner.record_id as record_id,
    winner.observed_at as observed_at,
    value_count
from final
