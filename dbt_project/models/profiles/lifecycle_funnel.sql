-- The funnel of the life cycle. One row is one stage of a model.
{{ config(materialized='view') }}

with stages as (
    select * from {{ ref('lifecycle_stage') }}
),

changes as (
    select * from {{ ref('person_lifecycle_change') }}
),

placed as (
    select
        changes.*,
        stages.position,
        max(stages.position) over (partition by changes.model, changes.person_id) as furthest_position,
        date_diff('second', changes.entered_at, coalesce(changes.left_at, {{ as_of() }})) / 86400.0 as days
    from changes
    inner join stages on changes.model = stages.model and changes.stage = stages.stage
),

counted as (
    select
        model,
        stage,
        count(distinct person_id) as entered_person_count,
        count(*) filter (where left_at is null) as current_person_count,
        count(distinct person_id) filter (where furthest_position > position) as converted_person_count,
        round(median(days) filter (where left_at is not null), 2) as median_days_in_stage,
        round(cast(avg(cast(days as decimal(18, 6))) filter (where left_at is not null) as double), 2) as average_days_in_stage
    from placed
    group by
        model,
        stage
),

final as (
    select
        stages.model,
        stages.position,
        stages.stage,
        coalesce(counted.entered_person_count, 0) as entered_person_count,
        coalesce(counted.current_person_count, 0) as current_person_count,
        coalesce(counted.converted_person_count, 0) as converted_person_count,
        round(counted.converted_person_count / cast(nullif(counted.entered_person_count, 0) as double), 4) as conversion_rate,
        counted.median_days_in_stage,
        counted.average_days_in_stage
    from stages
    left join counted on stages.model = counted.model and stages.stage = counted.stage
)

select * from final
