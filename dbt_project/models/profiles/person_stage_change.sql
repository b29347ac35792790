-- Changes of stage with the person of the lead or opportunity. One row is one change.
with changes as (
    select * from {{ ref('stage_change') }}
),

leads as (
    select * from {{ ref('person_lead') }}
),

final as (
    select
        changes.stage_change_key,
        changes.object_type,
        changes.lead_key as object_key,
        leads.person_id,
        leads.account_key,
        changes.from_stage,
        changes.to_stage,
        changes.changed_at,
        changes.sequence
    from changes
    left join leads on changes.lead_key = leads.object_key
)

select * from final
