-- Recency, frequency and monetary value on the declared grid (scores/rfm.yml). One row is one person with an order.
with orders as (
    select
        person_order.person_id,
        person_order.ordered_at,
        cast(person_order.net_value as decimal(38, 6)) as net_value
    from {{ ref('person_order') }} as person_order
    inner join {{ ref('audience') }} as audience on person_order.person_id = audience.person_id
    cross join {{ ref('rfm_window') }} as rfm_window
    where person_order.is_revenue
        and person_order.ordered_at <= {{ as_of() }}
        and (
            rfm_window.window_days is null
            or person_order.ordered_at > {{ as_of() }} - to_days(cast(rfm_window.window_days as integer))
        )
),

measured as (
    select
        person_id,
        date_sub('day', max(ordered_at), {{ as_of() }}) as recency_days,
        count(*) as frequency,
        sum(net_value) as monetary
    from orders
    group by person_id
),

-- the share of persons who are strictly worse: equal values get equal shares, so ties never split over two bins
ranked as (
    select
        *,
        (rank() over (order by recency_days desc) - 1) / cast(count(*) over () as double) as recency_fraction,
        (rank() over (order by frequency) - 1) / cast(count(*) over () as double) as frequency_fraction,
        (rank() over (order by monetary) - 1) / cast(count(*) over () as double) as monetary_fraction
    from measured
),

dimensions as (
    select
        person_id,
        'recency' as dimension,
        cast(recency_days as double) as value,
        recency_fraction as fraction
    from ranked
    union all
    select
        person_id,
        'frequency' as dimension,
        cast(frequency as double) as value,
        frequency_fraction as fraction
    from ranked
    union all
    select
        person_id,
        'monetary' as dimension,
        cast(monetary as double) as value,
        monetary_fraction as fraction
    from ranked
),

binned as (
    select
        dimensions.person_id,
        max(rfm_bin.points) filter (where dimensions.dimension = 'recency') as r,
        max(rfm_bin.points) filter (where dimensions.dimension = 'frequency') as f,
        max(rfm_bin.points) filter (where dimensions.dimension = 'monetary') as m
    from dimensions
    inner join {{ ref('rfm_bin') }} as rfm_bin
        on dimensions.dimension = rfm_bin.dimension
        and case when rfm_bin.measure = 'value' then dimensions.value else dimensions.fraction end
        >= coalesce(rfm_bin.at_least, cast('-infinity' as double))
        and case when rfm_bin.measure = 'value' then dimensions.value else dimensions.fraction end
        < coalesce(rfm_bin.below, cast('infinity' as double))
    group by dimensions.person_id
),

final as (
    select
        measured.person_id,
        measured.recency_days,
        measured.frequency,
        cast(measured.monetary as double) as monetary,
        binned.r,
        binned.f,
        binned.m,
        binned.r || '' || binned.f || '' || binned.m as rfm,
        rfm_class.rfm_class
    from measured
    inner join binned on measured.person_id = binned.person_id
    left join {{ ref('rfm_class') }} as rfm_class
        on binned.r = rfm_class.r
        and binned.f = rfm_class.f
        and binned.m = rfm_class.m
)

select * from final
