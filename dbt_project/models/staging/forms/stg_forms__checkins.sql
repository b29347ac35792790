-- One row is one scan of a registration at a booth.
{{ config(enabled=is_active('forms')) }}

with source as (
    select * from {{ source('raw', 'forms__checkins') }}
),

final as (
    select
        'forms.checkins:' || registration_id as record_id,
        _cdp_sequence as sequence,
        scanned_at at time zone 'UTC' as observed_at,
        registration_id,
        booth,
        scanned_by,
        json_object('booth', booth) as properties
    from source
)

select * from final
