-- Each person's last decision about each purpose. One row is one person and purpose.
with consents as (
    select * from {{ ref('consent') }}
),

records as (
    select
        sequence,
        person_id
    from {{ ref('record_person') }}
),

final as (
    select
        records.person_id,
        consents.purpose,
        consents.is_granted,
        consents.decided_at,
        consents.record_id,
        consents.channel,
        consents.text_version
    from consents
    inner join records on consents.sequence = records.sequence
    where consents.decided_at <= {{ as_of() }}
    qualify
        row_number() over (
            partition by records.person_id, consents.purpose order by consents.decided_at desc, consents.sequence desc
        ) = 1
)

select * from final
