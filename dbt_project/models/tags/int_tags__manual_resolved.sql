-- What people said of manual tags, with the person and what keeps a word from counting. One row is one of them: a row of the seed, a
-- decision (`cdp tag`, the collector's webhook), or a tag of WeCom that a follow relation has.
with said as (
    select
        identifier_type,
        identifier_value,
        tag,
        value,
        set_by,
        set_at
    from {{ ref('manual_tags') }}
    union all
    select
        identifier_type,
        identifier_value,
        tag,
        value,
        set_by,
        set_at
    from {{ ref('tag_decision') }}
),

-- WeCom does not tell when a tag was given: it counts from the beginning of the relation, so that a later decision stands above it
said_in_wecom as (
    select
        relations.person_id,
        'external_userid' as identifier_type,
        relations.external_userid as identifier_value,
        library.tag,
        library.value,
        relations.userid as set_by,
        relations.created_at as set_at
    from (
        select
            * exclude (tag_ids),
            unnest(cast(tag_ids as varchar[])) as tag_id
        from {{ ref('wecom_follow') }}
    ) as relations
    inner join {{ wecom_tag_library() }} as tags on relations.tag_id = tags.tag_id
    inner join {{ ref('tag_wecom') }} as library on tags.group_name || '/' || tags.tag_name = library.wecom_tag
),

cleaned as (
    select
        trim(identifier_type) as identifier_type,
        case
            when trim(identifier_type) = 'email' then lower(trim(identifier_value)) else trim(identifier_value)
        end as identifier_value,
        trim(tag) as tag,
        trim(value) as value,
        trim(set_by) as set_by,
        set_at
    from said
),

found as (
    select
        person_identifier.person_id,
        cleaned.*
    from cleaned
    left join {{ ref('person_identifier') }} as person_identifier
        on cleaned.identifier_type = person_identifier.identifier_type
        and cleaned.identifier_value = person_identifier.identifier_value
    union all
    select * from said_in_wecom
),

limited as (
    select distinct tag
    from {{ ref('tag_allowed_value') }}
),

checked as (
    select
        found.*,
        case
            when tag.value_type is null then 'unknown_tag'
            when found.person_id is null then 'unknown_identifier'
            when found.value is null then null
            when tag.value_type = 'number' and try_cast(found.value as double) is null then 'wrong_type'
            when tag.value_type = 'boolean' and try_cast(found.value as boolean) is null then 'wrong_type'
            when tag.value_type = 'date' and try_cast(found.value as date) is null then 'wrong_type'
            when limited.tag is not null and tag_allowed_value.value is null then 'not_allowed'
        end as flaw
    from found
    left join {{ ref('tag') }} as tag on found.tag = tag.tag and tag.source = 'manual'
    left join limited on found.tag = limited.tag
    left join {{ ref('tag_allowed_value') }} as tag_allowed_value
        on found.tag = tag_allowed_value.tag and found.value = tag_allowed_value.value
    where found.set_at <= {{ as_of() }}
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
