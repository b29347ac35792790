-- One row is one registration by form, as it arrived.
{{ config(enabled=is_active('forms')) }}

with source as (
    select * from {{ source('raw', 'forms__registrations') }}
),

final as (
    select
        'forms.registrations:' || registration_id as record_id,
        _cdp_sequence as sequence,
        registered_at at time zone 'UTC' as observed_at,
        registration_id,
        form_id,
        form_name,
        name,
        email,
        phone,
        company,
        campaign,
        job_title,
        json_object('form_id', form_id, 'form_name', form_name) as properties
    from source
)

select * from final
