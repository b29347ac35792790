-- What is known of the holder of an identifier, for matching. One row is one identifier that is the strongest of some record and
-- belongs to a person (not to a device): of each attribute the value that was seen last. Nicknames are no names.
-- It reads the conformed layer only, so that its pairs are known before identity is computed; a view: it costs nothing
-- while no matching model is active.
{{ config(materialized='view') }}

with observations as (
    select
        observations.sequence,
        observations.observed_at,
        observations.identifier_type,
        observations.identifier_value,
        observations.identifier_key,
        types.priority
    from {{ ref('identifier_observation') }} as observations
    inner join {{ ref('identifier_types') }} as types on observations.identifier_type = types.name
    where observations.identifier_key is not null
        and types.level = 'person'
        and {{ blocked_reason('observations.identifier_type', 'observations.identifier_value') }} is null
),

records as (
    select
        sequence,
        arg_min(identifier_key, { 'priority': priority, 'key': identifier_key }) as identifier_key
    from observations
    group by sequence
),

attributes as (
    select
        sequence,
        observed_at,
        attribute,
        attribute_value
    from {{ ref('contact_attribute') }}
    where attribute in ('first_name', 'last_name', 'full_name', 'company_name', 'city', 'country', 'birth_on')
    union all
    -- these as identity normalised them
    select
        sequence,
        observed_at,
        identifier_type as attribute,
        identifier_value as attribute_value
    from observations
    where identifier_type in ('email', 'phone')
),

latest as (
    select
        records.identifier_key,
        attributes.attribute,
        arg_max(
            attributes.attribute_value,
            {
                'at': coalesce(attributes.observed_at, timestamp '1970-01-01'),
                'sequence': attributes.sequence,
                'value': attributes.attribute_value
            }
        ) as attribute_value
    from attributes
    inner join records on attributes.sequence = records.sequence
    group by records.identifier_key, attributes.attribute
),

wide as (
    pivot latest
    on attribute in ('first_name', 'last_name', 'full_name', 'email', 'phone', 'company_name', 'city', 'country', 'birth_on')
    using min(attribute_value)
    group by identifier_key
),

-- "Last, First"; Chinese names with the family name in front; else the last word is the family name
final as (
    select
        identifier_key::varchar as record_id,
        coalesce(
            first_name,
            case
                when contains(full_name, ',') then trim(split_part(full_name, ',', 2))
                when regexp_full_match(full_name, '\p{Han}{2,4}') then substr(full_name, 2)
                else nullif(trim(regexp_replace(full_name, '\S+$', '')), '')
            end
        ) as first_name,
        coalesce(
            last_name,
            case
                when contains(full_name, ',') then trim(split_part(full_name, ',', 1))
                when regexp_full_match(full_name, '\p{Han}{2,4}') then substr(full_name, 1, 1)
                else regexp_extract(full_name, '\S+$')
            end
        ) as last_name,
        email,
        phone,
        company_name,
        birth_on,
        city,
        country
    from wide
    where coalesce(first_name, last_name, full_name) is not null
)

select * from final
