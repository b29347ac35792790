-- The observations of all files so far. One row is one identifier on one record, or one row that could not be used (with its reason).
-- Made from one file a call (cdp/identity/resolve.py); of rows that say the same, one is kept with the least sequence and tier.
-- Only a record of more than two rows, or of two with one key, can say the same twice.
{%- set of_this_file = "" if var("provider") == 1 else
    "and o.record_key in (select n.record_key from {{ this }} as n where n.provider = {{ var('provider') }})" %}
{{ config(
    materialized='incremental', incremental_strategy='append', on_schema_change='fail',
    pre_hook="{{ pack(strings=false) }}",
    post_hook=[
        "{{ pack() }}",
        "create or replace temp table record_crowded as
        select o.record_key
        from {{ this }} as o
        where o.identifier_key is not null " ~ of_this_file ~ "
        group by o.record_key
        having count(*) > 2 or count(*) = 2 and (bit_xor(o.identifier_key) = 0 or bit_xor(" ~ passing_check("o.record_id") ~ ") <> 0)",
        "select error('identity: two record ids have the same 63-bit key ' || o.record_key || '; give one of these records another id')
        from {{ this }} as o where o.record_key in (select c.record_key from record_crowded as c)
        group by o.record_key having min(o.record_id) <> max(o.record_id)",
        "create or replace temp table repeated as select o.record_key, o.identifier_key, min(o.provider) as provider, min(o.sequence) as sequence,
            min(o.observed_at) as observed_at, min(coalesce(o.tier, types.tier)) as tier, any_value(o.record_id) as record_id,
            any_value(o.identifier_type) as identifier_type, any_value(o.identifier_value) as identifier_value
        from {{ this }} as o
        inner join {{ ref('identifier_types') }} as types on o.identifier_type = types.name
        where o.identifier_key is not null and o.record_key in (select c.record_key from record_crowded as c)
        group by o.record_key, o.identifier_key having count(*) > 1",
        "delete from {{ this }} as observations using repeated
        where observations.record_key = repeated.record_key and observations.identifier_key = repeated.identifier_key",
        "insert into {{ this }} by name select * from repeated"
    ]
) }}

with landed as (
    select
        *,
        -- printable ASCII, no blank at either end: then most of what could be wrong is not, and there is nothing to trim
        coalesce(strlen(identifier_value) <= __longest__ and regexp_full_match(identifier_value, '[!-~]([ -~]*[!-~])?'), false) as is_plain
    from (__landed__) as file
),

-- most rows are in order, and nothing below asks them more
usual as (
    select
        *,
        coalesce(
            is_plain and record_id between '!' and '~' and sequence is not null and identifier_type in (__anything__)
            and not is_tier_wrong and not is_time_wrong,
            false
        ) as is_usual
    from landed
),

-- what can be told before a value is normalised
judged as (
    select
        *,
        case
            when is_usual then null
            -- most begin with a letter or digit, which is sooner seen than a blank is trimmed
            when not coalesce(record_id between '!' and '~', false) and coalesce(trim(record_id), '') = '' then 'no record_id'
            when sequence is null then 'sequence is no whole number from 0 to 2^62'
            when not coalesce(identifier_type in (__types__), false) then 'unknown identifier type'
            when not is_plain and coalesce(trim(identifier_value), '') = '' then 'no value'
            when not is_plain and length(identifier_value) > __longest__ then 'longer than __longest__ characters'
            when not is_plain and regexp_matches(identifier_value, '[\x00-\x08\x0B\x0C\x0E-\x1F\x7F]')
                then 'not text: control characters'
            when is_tier_wrong then 'tier is no whole number from 1 to 99'
            when is_time_wrong then 'observed_at is no time'
        end as first_reason
    from usual
),

normalised as (
    select
        *,
        case
            when is_usual then identifier_value
            when first_reason is not null then null
            when is_plain and identifier_type in (__exact__) then identifier_value
            else case identifier_type
                __normalised__
            end
        end as value
    from judged
),

checked as (
    select
        *,
        case
            when is_usual then null
            when first_reason is not null then first_reason
            when not coalesce(case identifier_type
                __matches__
            end, false) then 'does not fit the pattern of its type'
        end as reason
    from normalised
),

used as (
    select
        *,
        case when reason is null then value end as usable_value
    from checked
),

final as (
    select
        -- a number, and no name of a source: texts that are the same in all rows cost a fifth of the table's time
        {{ var("provider") }}::smallint as provider,
        null::varchar as source,
        record_id,
        {{ passing_key('record_id') }} as record_key,
        sequence,
        observed_at,
        identifier_type,
        usable_value as identifier_value,
        {{ hash_key("identifier_type || ':' || usable_value") }} as identifier_key,
        tier::smallint as tier,
        case when reason is not null then left(identifier_value, __longest__) end as unusable_value,
        reason,
        case when reason is not null then position end as position
    from used
)

select * from final
