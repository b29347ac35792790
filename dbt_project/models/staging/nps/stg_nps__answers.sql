-- One row is one answer to the NPS question.
{{ config(enabled=is_active('nps')) }}

with source as (
    select * from {{ source('raw', 'nps__answers') }}
),

final as (
    select
        'nps.answers:' || response_id as record_id,
        _cdp_sequence as sequence,
        answered_at at time zone 'UTC' as observed_at,
        response_id,
        email,
        user_id,
        openid,
        score,
        json_object('score', score, 'survey', survey) as properties
    from source
)

select * from final
