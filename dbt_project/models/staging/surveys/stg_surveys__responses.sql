-- One row is one delivery of one answer. Shape: https://www.typeform.com/developers/webhooks/example-payload (form_response).
{{ config(enabled=is_active('surveys')) }}

with source as (
    select * from {{ source('raw', 'surveys__responses') }}
    where event_type = 'form_response'
),

taken as (
    select
        _cdp_sequence,
        json_extract_string(form_response, ['$.token', '$.form_id', '$.submitted_at', '$.hidden.user_id', '$.definition.title']) as field,
        json_extract(form_response, '$.answers[*]') as answers
    from source
),

final as (
    select
        'surveys.responses:' || field[1] as record_id,
        _cdp_sequence as sequence,
        try_cast(field[3] as timestamptz) at time zone 'UTC' as observed_at,
        field[1] as response_id,
        nullif(field[4], '') as user_id,
        list_filter(answers, lambda a: (a ->> '$.type') = 'email')[1] ->> '$.email' as email,
        list_filter(answers, lambda a: (a ->> '$.type') = 'phone_number')[1] ->> '$.phone_number' as phone,
        json_object(
            'form_id', field[2],
            'form_name', field[5],
            -- 0 to 10: a number or an opinion scale
            'score', try_cast(list_filter(answers, lambda a: (a ->> '$.type') = 'number')[1] ->> '$.number' as bigint),
            'choices', list_transform(
                list_filter(answers, lambda a: (a ->> '$.type') = 'choice'), lambda a: json_object(a ->> '$.field.ref', a ->> '$.choice.label')
            )
        ) as properties
    from taken
)

select * from final
