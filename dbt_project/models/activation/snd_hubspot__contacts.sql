-- Contacts for HubSpot. One row is one e-mail address of a person who may be written to.
with persons as (
    select * from {{ ref('person') }}
),

consents as (
    select * from {{ ref('person_consent') }}
),

lifecycle as (
    select * from {{ ref('person_lifecycle') }}
),

scores as (
    select * from {{ ref('person_score') }}
),

stays as (
    select * from {{ ref('segment_membership') }}
),

-- HubSpot's own stages; a business stage says more than a consumer's, so it wins.
hubspot_stages (model, stage, hubspot_stage, rank_no) as (
    values
    ('business', 'won', 'customer', 1),
    ('business', 'proof_of_concept', 'opportunity', 1),
    ('business', 'opportunity', 'opportunity', 1),
    ('business', 'sql', 'salesqualifiedlead', 1),
    ('business', 'mql', 'marketingqualifiedlead', 1),
    ('business', 'lead', 'lead', 1),
    ('business', 'lost', 'other', 1),
    ('consumer', 'referral', 'evangelist', 2),
    ('consumer', 'revenue', 'customer', 2),
    ('consumer', 'retention', 'lead', 2),
    ('consumer', 'activation', 'lead', 2),
    ('consumer', 'acquisition', 'subscriber', 2)
),

-- An address that any of its holders has forbidden is nobody's to write to.
addresses_withdrawn as (
    select distinct persons.email
    from persons
    inner join consents on persons.person_id = consents.person_id
    where consents.purpose = 'marketing_email' and not consents.is_granted
),

reachable as (
    select persons.*
    from persons
    left join addresses_withdrawn on persons.email = addresses_withdrawn.email
    where
        persons.can_email
        and persons.email is not null
        and addresses_withdrawn.email is null
        and not persons.is_test
        and not persons.is_bot
        and persons.person_id not in (select quarantine.person_id from {{ ref('identity_quarantine') }} as quarantine)
    -- A shared address is one contact: the person seen last.
    qualify row_number() over (partition by persons.email order by persons.last_seen_at desc, persons.person_id asc) = 1
),

stages as (
    select
        lifecycle.person_id,
        lifecycle.stage,
        hubspot_stages.hubspot_stage
    from lifecycle
    left join hubspot_stages on lifecycle.model = hubspot_stages.model and lifecycle.stage = hubspot_stages.stage
    qualify
        row_number() over (
            partition by lifecycle.person_id
            order by coalesce(hubspot_stages.rank_no, 9), lifecycle.model
        ) = 1
),

lead_scores as (
    select
        person_id,
        grade,
        cast(round(points) as bigint) as points
    from scores
    where score = 'lead_score'
),

segment_lists as (
    select
        person_id,
        list(segment order by segment) as segments
    from stays
    where exited_at is null
        and not ends_with(segment, '__holdout')  -- there to be compared with, not to be reached
    group by person_id
),

final as (
    select
        reachable.person_id,
        reachable.email,
        reachable.first_name,
        reachable.last_name,
        reachable.phone,
        reachable.company_name,
        reachable.job_title,
        reachable.city,
        reachable.country,
        stages.hubspot_stage,
        stages.stage,
        lead_scores.points as lead_score,
        lead_scores.grade as lead_grade,
        segment_lists.segments
    from reachable
    left join stages on reachable.person_id = stages.person_id
    left join lead_scores on reachable.person_id = lead_scores.person_id
    left join segment_lists on reachable.person_id = segment_lists.person_id
)

select * from final
