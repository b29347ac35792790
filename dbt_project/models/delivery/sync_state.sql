-- What the destinations acknowledged last. One row is one sync and key that stands there.
{{ config(enabled=is_active('reverse_etl')) }}

with deliveries as (
    select * from {{ ref('stg_reverse_etl__delivery_log') }}
),

acknowledged as (
    select *
    from deliveries
    where status = 'succeeded'
    qualify row_number() over (partition by sync, key_hash order by observed_at desc, sequence desc) = 1
),

final as (
    select
        sync,
        key_hash,
        person_id,
        payload_hash,
        consent_record,
        run_id,
        observed_at as acknowledged_at
    from acknowledged
    where operation not in ('delete', 'merge')
)

select * from final
