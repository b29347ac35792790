-- Persons who are kept from leaving the warehouse, because their component is far larger than others. One row is one person.
-- What makes a component giant: dbt_project.yml, identity_giant_*.
with components as (
    select * from {{ ref('identity_component') }}
),

sizes as (
    select
        component_key,
        count(*) as identifier_count
    from components
    group by component_key
),

usual as (
    select greatest(
        {{ var('identity_giant_least') }}, {{ var('identity_giant_factor') }} * coalesce(quantile_disc(identifier_count, 0.95), 0)
    ) as most
    from sizes
),

giants as (
    select sizes.*
    from sizes
    inner join usual on sizes.identifier_count > usual.most
),

final as (
    select
        persons.person_id,
        min(giants.component_key) as component_key,
        max(giants.identifier_count) as component_size,
        'giant component' as reason
    from giants
    inner join components on giants.component_key = components.component_key
    inner join {{ ref('identity_person') }} as persons on components.identifier_key = persons.identifier_key
    group by persons.person_id
)

select * from final
