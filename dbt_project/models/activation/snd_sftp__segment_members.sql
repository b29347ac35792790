-- Members of segments for partners, with hashed contact data. One row is one segment and person.
with persons as (
    select * from {{ ref('person') }}
    where person_id not in (select quarantine.person_id from {{ ref('identity_quarantine') }} as quarantine)
),

stays as (
    select * from {{ ref('segment_membership') }}
),

reachable as (
    select * from persons
    where
        can_ads
        and not is_test
        and not is_bot
        and coalesce(email, phone) is not null
),

final as (
    select
        stays.segment,
        stays.person_id,
        -- As advertisers match them: trimmed lower-case address, E.164 with its plus.
        sha256(lower(trim(reachable.email))) as email_sha256,
        sha256(reachable.phone) as phone_sha256,
        stays.entered_at
    from stays
    inner join reachable on stays.person_id = reachable.person_id
    where stays.exited_at is null
        -- who is held out is there to be compared with, not to be reached
        and not ends_with(stays.segment, '__holdout')
)

select * from final
