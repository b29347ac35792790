-- The golden record. One row is one person.
with identifiers as (
    select * from {{ ref('person_identifier') }}
),

attributes as (
    select * from {{ ref('person_attribute') }}
),

records as (
    select
        person_id,
        count(*) as record_count
    from {{ ref('record_person') }}
    group by person_id
),

known as (
    select
        person_id,
        min(founding_identifier_type) as founding_identifier_type,
        min(first_seen_at) as first_seen_at,
        max(last_seen_at) as last_seen_at,
        count(*) as identifier_count
    from identifiers
    group by person_id
),

-- of several values of one type the one seen last counts as the main one
main_identifiers as (
    pivot (
        select
            person_id,
            identifier_type,
            identifier_value,
            { 'at': last_seen_at, 'first': -first_sequence } as recency
        from identifiers
    )
    on identifier_type in (
        'user_id', 'wechat_openid', 'mini_openid', 'unionid', 'external_userid', 'shop_customer_id', 'loyalty_card',
        'crm_contact_id', 'crm_lead_id', 'email', 'phone'
    )
    using arg_max(identifier_value, recency)
    group by person_id
),

values_by_person as (
    pivot attributes
    on attribute in (
        'email', 'phone', 'full_name', 'first_name', 'last_name', 'nickname', 'gender', 'birth_on', 'city', 'country',
        'language', 'job_title', 'company_name'
    )
    using min(attribute_value)
    group by person_id
),

accounts as (
    select
        person_id,
        account_key
    from {{ ref('person_account') }}
),

consents as (
    select
        person_id,
        bool_or(is_granted) filter (where purpose = 'marketing_email') as can_email,
        bool_or(is_granted) filter (where purpose = 'marketing_sms') as can_sms,
        bool_or(is_granted) filter (where purpose = 'marketing_wechat') as can_wechat,
        bool_or(is_granted) filter (where purpose = 'ads') as can_ads
    from {{ ref('person_consent') }}
    group by person_id
),

bots as (
    select
        person_id,
        bool_and(coalesce(is_bot, false)) as is_bot
    from {{ ref('person_event') }}
    where event_type in ('page', 'screen', 'track')
        and channel in ('web', 'app')
    group by person_id
),

tests as (
    select distinct person_id
    from identifiers
    where {{ test_reason('identifier_type', 'identifier_value') }} is not null
),

final as (
    select
        known.person_id,
        {{ number_of_person('known.person_id') }} as person_number,
        known.founding_identifier_type,
        known.first_seen_at,
        known.last_seen_at,
        known.identifier_count,
        coalesce(records.record_count, 0) as record_count,
        coalesce(
            v.full_name,
            case
                when v.first_name is null or v.last_name is null then coalesce(v.first_name, v.last_name)
                -- Chinese names: family name first, no space
                when regexp_matches(v.last_name, '^\p{Han}+$') then v.last_name || v.first_name
                else v.first_name || ' ' || v.last_name
            end,
            v.nickname
        ) as full_name,
        v.first_name,
        v.last_name,
        coalesce(v.email, m.email) as email,
        split_part(coalesce(v.email, m.email), '@', 2) as email_domain,
        coalesce(v.phone, m.phone) as phone,
        v.gender,
        try_cast(v.birth_on as date) as birth_on,
        v.city,
        v.country,
        v.language,
        v.job_title,
        v.company_name,
        accounts.account_key,
        tests.person_id is not null as is_test,
        coalesce(bots.is_bot, false) as is_bot,
        m.user_id,
        m.wechat_openid,
        m.mini_openid,
        m.unionid,
        m.external_userid,
        m.shop_customer_id,
        m.loyalty_card,
        m.crm_contact_id,
        m.crm_lead_id,
        coalesce(consents.can_email, false) as can_email,
        coalesce(consents.can_sms, false) as can_sms,
        coalesce(consents.can_wechat, false) as can_wechat,
        coalesce(consents.can_ads, false) as can_ads
    from known
    left join records on known.person_id = records.person_id
    left join main_identifiers as m on known.person_id = m.person_id
    left join values_by_person as v on known.person_id = v.person_id
    left join accounts on known.person_id = accounts.person_id
    left join consents on known.person_id = consents.person_id
    left join bots on known.person_id = bots.person_id
    left join tests on known.person_id = tests.person_id
)

select * from final
