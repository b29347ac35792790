-- WeCom follow relations with their person. One row is one member of staff who follows one customer.
with relations as (
    select * from {{ ref('follow_relation') }}
),

records as (
    select
        sequence,
        person_id
    from {{ ref('record_person') }}
),

final as (
    select
        relations.external_userid,
        relations.userid,
        records.person_id,
        relations.state,
        relations.tag_ids,
        relations.created_at
    from relations
    left join records on relations.sequence = records.sequence
)

select * from final
