-- Every tag with what is known of it: who answers for it, how many have it, which values there are. One row is one tag.
{{ config(materialized='view') }}

with tags as (
    select * from {{ ref('tag') }}
),

everybody as (
    select count(*) as person_count
    from {{ ref('audience') }}
),

valued as (
    select
        tag,
        value,
        count(*) as person_count
    from {{ ref('tag_assignment') }}
    group by
        tag,
        value
),

counted as (
    select
        tag,
        sum(person_count)::bigint as person_count,
        count(*) as value_count,
        min(try_cast(value as double)) as least_number,
        max(try_cast(value as double)) as greatest_number,
        list(
            { 'value': value, 'person_count': person_count } order by person_count desc, value asc
        )[:10] as most_frequent_values
    from valued
    group by tag
),

changed as (
    select
        tag,
        max(greatest(assigned_at, coalesce(removed_at, assigned_at))) as last_changed_at
    from {{ ref('tag_history') }}
    group by tag
),

final as (
    select
        tags.tag,
        tags.value_type,
        tags.source,
        tags.owner,
        tags.description,
        tags.refresh,
        tags.pii,
        tags.exclusive_group,
        tags.since_on,
        tags.expires_on,
        coalesce(counted.person_count, 0) as person_count,
        round(coalesce(counted.person_count, 0) / nullif(everybody.person_count, 0)::double, 4) as coverage,
        coalesce(counted.value_count, 0) as value_count,
        case when tags.value_type = 'number' and tags.pii = 'none' then counted.least_number end as least_number,
        case when tags.value_type = 'number' and tags.pii = 'none' then counted.greatest_number end as greatest_number,
        -- a list of values would show personal data
        case when tags.pii = 'none' then counted.most_frequent_values end as most_frequent_values,
        changed.last_changed_at
    from tags
    cross join everybody
    left join counted on tags.tag = counted.tag
    left join changed on tags.tag = changed.tag
)

select * from final
