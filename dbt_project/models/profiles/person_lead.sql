-- Leads and opportunities with their person. One row is one lead or opportunity.
with leads as (
    select * from {{ ref('lead') }}
),

records as (
    select
        sequence,
        person_id
    from {{ ref('record_person') }}
),

final as (
    select
        leads.object_type,
        leads.lead_key as object_key,
        records.person_id,
        leads.account_key,
        leads.stage,
        leads.created_at,
        leads.closed_at,
        leads.stage = 'won' as is_won,
        leads.value,
        leads.campaign,
        leads.source,
        leads.sequence
    from leads
    left join records on leads.sequence = records.sequence
)

select * from final
