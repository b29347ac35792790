-- Net promoter score: the share of promoters (9, 10) less that of detractors (0 to 6), each person's last answer of the month.
-- One row is one month. Method: https://hbr.org/2003/12/the-one-number-you-need-to-grow
{{ config(materialized='view') }}

with answers as (
    select
        person_id,
        date_trunc('month', occurred_at)::date as answered_month_on,
        try_cast(json_extract_string(properties, '$.score') as double) as score
    from {{ ref('person_event') }}
    where event_name = 'Survey Answered'
        and occurred_at <= {{ as_of() }}
    qualify row_number() over (partition by person_id, answered_month_on order by occurred_at desc, event_key desc) = 1
),

counted as (
    select
        answered_month_on,
        count(*) as answer_count,
        count(*) filter (where score >= 9) as promoter_count,
        count(*) filter (where score > 6 and score < 9) as passive_count,
        count(*) filter (where score <= 6) as detractor_count
    from answers
    where score between 0 and 10
    group by answered_month_on
),

final as (
    select
        *,
        round(100.0 * (promoter_count - detractor_count) / answer_count, 1)::double as nps
    from counted
)

select * from final
