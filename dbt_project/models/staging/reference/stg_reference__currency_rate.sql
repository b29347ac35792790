-- What one unit of a currency is worth in the reporting currency. One row is one currency.
{{ config(materialized='view') }}

with rates as (
    select * from {{ ref('currency_rates') }}
),

latest as (
    select *
    from rates
    where valid_from <= {{ as_of() }}
    qualify row_number() over (partition by currency order by valid_from desc) = 1
),

reporting as (
    select rate
    from latest
    where currency = '{{ env_var("CDP_REPORTING_CURRENCY", "CNY") }}'
),

final as (
    select
        latest.currency,
        (latest.rate / reporting.rate)::decimal(18, 6) as rate,
        latest.minor_units
    from latest
    cross join reporting
)

select * from final
