-- Tags that people set, with their person and what keeps a row from counting. One row is one row of the seed.
with rows_set as (
    select
        identifier_type,
        case
            when identifier_type = 'email' then lower(trim(identifier_value)) else trim(identifier_value)
        end as identifier_value,
        trim(tag) as tag,
        trim(value) as value,
        trim(set_by) as set_by,
        set_at
    from {{ ref('manual_tags') }}
    where set_at <= {{ as_of() }}
),

limited as (
    select distinct tag
    from {{ ref('tag_allowed_value') }}
),

found as (
    select
        rows_set.*,
        person_identifier.person_id,
        tag.value_type,
        limited.tag is not null as is_limited,
        tag_allowed_value.value is not null as is_allowed
    from rows_set
    left join {{ ref('person_identifier') }} as person_identifier
        on rows_set.identifier_type = person_identifier.identifier_type
        and rows_set.identifier_value = person_identifier.identifier_value
    left join {{ ref('tag') }} as tag on rows_set.tag = tag.tag and tag.source = 'manual'
    left join limited on rows_set.tag = limited.tag
    left join {{ ref('tag_allowed_value') }} as tag_allowed_value
        on rows_set.tag = tag_allowed_value.tag and rows_set.value = tag_allowed_value.value
),

checked as (
    select
        *,
        case
            when value_type is null then 'unknown_tag'
            when person_id is null then 'unknown_identifier'
            when value_type = 'number' and try_cast(value as double) is null then 'wrong_type'
            when value_type = 'boolean' and try_cast(value as boolean) is null then 'wrong_type'
            when value_type = 'date' and try_cast(value as date) is null then 'wrong_type'
            when is_limited and not is_allowed then 'not_allowed'
        end as flaw
    from found
),

final as (
    select
        person_id,
        tag,
        value,
        set_by,
        set_at,
        identifier_type,
        case
            when flaw is not null then flaw
            when row_number() over (
                partition by person_id, tag, flaw
                order by set_at desc, set_by asc, value asc, identifier_type asc, identifier_value asc
            ) > 1 then 'superseded'
        end as problem
    from checked
)

select * from final
