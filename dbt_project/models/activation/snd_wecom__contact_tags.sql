-- Tags that WeCom shall show. One row is one follow relation (userid, external_userid) and tag.
with relations as (
    select * from {{ ref('wecom_follow') }}
),

persons as (
    select * from {{ ref('person') }}
    where person_id not in (select quarantine.person_id from {{ ref('identity_quarantine') }} as quarantine)
),

tags as (
    select * from {{ ref('tag_assignment') }}
),

stays as (
    select * from {{ ref('segment_membership') }}
),

-- Staff can act on a yes or a word; numbers, dates and lists would need a tag for each value.
tag_names as (
    select
        person_id,
        case when value_type = 'boolean' then tag else tag || ': ' || value end as tag_name
    from tags
    where
        (value_type = 'boolean' and value = 'true')
        or value_type = 'text'
),

segment_names as (
    select
        person_id,
        'segment: ' || segment as tag_name
    from stays
    where exited_at is null
        and not ends_with(segment, '__holdout')  -- there to be compared with, not to be reached
),

-- WeCom takes 30 characters a name; a longer one is cut where it is still told apart.
names as (
    select distinct
        person_id,
        case when length(tag_name) > 30 then left(tag_name, 24) || '~' || left(md5(tag_name), 5) else tag_name end as tag_name
    from (
        select * from tag_names
        union distinct
        select * from segment_names
    ) as named
),

reachable as (
    select
        relations.userid,
        relations.external_userid,
        relations.person_id
    from relations
    inner join persons on relations.person_id = persons.person_id
    where
        persons.can_wechat
        and not persons.is_test
        and not persons.is_bot
),

final as (
    select
        reachable.userid,
        reachable.external_userid,
        names.tag_name,
        reachable.person_id
    from reachable
    inner join names on reachable.person_id = names.person_id
)

select * from final
