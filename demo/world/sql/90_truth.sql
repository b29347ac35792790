-- Who is who: written beside the sources, read by evaluations and tests only.
create table truth_record as
select case when is_app then 'app' else 'website' end as source, 'events' as table_name, uuid_text('message', event_no) as record_key, visit_no // 8192 as person_no
from event where copy_no = 0 and not is_torn;
-- small sources: a key is a record if at least one of its rows can be read
insert into truth_record
select source, table_name, record_key, min(person_no) from record_row where is_readable group by all order by all;

create table truth_malformed as
select case when is_app then 'app' else 'website' end as source, 'events' as table_name, uuid_text('message', event_no) as record_key, (visit_no // 8192)::integer as person_no, file_day, 'torn JSON' as reason, true as is_lost
from event where is_torn;
insert into truth_malformed
select b.source, b.table_name, b.record_key, b.person_no, b.file_day, b.reason, g.record_key is null
from record_row as b left join (select distinct source, table_name, record_key from record_row where is_readable) as g using (source, table_name, record_key)
where not b.is_readable order by all;

create table truth_identifier as
with cookie as (
    select anonymous_id, person_no, any_value(device_owner_no) as device_owner_no, any_value(device_no) as device_no, min(started_at) as first_at, max(started_at) as last_at from visit group by anonymous_id, person_no
), cookie_flagged as (
    select *, count(*) over (partition by anonymous_id) > 1 as is_shared, count(*) over (partition by person_no, device_owner_no, device_no) > 1 as is_rotated from cookie
), arrived as (
    select *, moment(arrival_day) as arrived_at from person where arrival_day < getvariable('days') and kind <> 'bot'
), families as (
    select distinct head_no from person where has_family_email
), listed as (
    select 'email' as identifier_type, p.email as identifier_value, p.person_no, p.arrived_at as valid_from, null::timestamp as valid_to,
        case when p.has_family_email or f.head_no is not null then 'family_email' end as mess_kind
    from arrived as p left join families as f on f.head_no = p.person_no where p.email is not null
    union all select 'email', work_email, person_no, arrived_at, null, null from arrived where work_email is not null and work_email is distinct from email
    union all select 'email', email, person_no, min(happened_at), null, 'email_typo' from typo_email where happened_at < as_of() group by all
    union all select 'phone', phone, person_no, arrived_at, case when phone_until_day is not null then moment(phone_until_day) end, case when phone_until_day is not null or phone_from_no is not null then 'recycled_phone' end from arrived where phone is not null
    union all select 'phone', next_phone, person_no, moment(phone_until_day), null, null from arrived where phone_until_day < getvariable('days')
    union all select 'wechat_openid', openid, person_no, subscribed_at, null, null from follower
    union all select 'mini_openid', mini_openid, person_no, moment(mini_at), null, null from arrived where moment(mini_at) < as_of()
    union all select 'unionid', unionid, person_no, moment(least(follow_at, mini_at, wecom_at)), null, null from arrived where moment(least(follow_at, mini_at, wecom_at)) < as_of()
    union all select 'external_userid', external_userid, person_no, moment(wecom_at), null, null from arrived where moment(wecom_at) < as_of()
    union all select 'user_id', user_id, person_no, moment(register_day), null, null from arrived where register_day < getvariable('days')
    union all select 'anonymous_id', anonymous_id, person_no, first_at, case when is_rotated then last_at end, case when is_shared then 'shared_device' when is_rotated then 'rotated_cookie' end from cookie_flagged
    union all select 'device_id', upper(uuid_text('device', device_owner_no)), person_no, min(started_at), null, null from visit where is_app group by all
    union all select 'loyalty_card', card_no, person_no, moment(card_day), null, null from arrived where card_day < getvariable('days')
    union all select 'shop_customer_id', customer_id, person_no, created_at, null, null from customer_fact
    union all select 'crm_contact_id', contact_id, person_no, created_at, null, null from contact_fact
    union all select 'crm_lead_id', id, person_no, created_at, null, null from lead_fact
    union all select 'click_id', click_id, person_no, clicked_at, null, null from ad_click
)
select * from listed order by identifier_type, identifier_value, person_no, valid_from;

-- Every kind of mess a person's records carry, with the number of rows.
create table person_mess as
select person_no, mess_kind, count(*) as occurrences from (select person_no, unnest(mess) as mess_kind from record_row) group by all
union all select person_no, mess_kind, count(*) from truth_identifier where mess_kind in ('shared_device', 'rotated_cookie', 'recycled_phone') group by all
union all select (visit_no // 8192)::integer, mess_kind, count(*) from (
    select visit_no, unnest(kinds([case when is_late then 'late_event' end, case when is_overtaken then 'out_of_order_event' end, case when copy_no > 0 then 'repeated_event' end, case when is_torn then 'malformed_event' end])) as mess_kind from event
    where is_late or is_overtaken or copy_no > 0 or is_torn
) group by all
union all select r.person_no, mess_kind, count(*) from (select person_no, unnest(kinds([email_form, phone_form, case when has_family_email and not at_work and call = 'identify' then 'family_email' end])) as mess_kind from self_report where call <> 'group') as r group by all;

create table truth_person as
with bought as (
    select person_no, min(created_at) as at_time from order_fact where paid_at is not null and kind <> 'test' group by 1
    union all select person_no, min(sold_at) from receipt where sold_at < as_of() group by 1
    union all select person_no, closed_at from opportunity_fact where will_win and closed_at < as_of()
), first_time as (
    select person_no, min(at_time) as converted_at from bought group by 1
), messy as (
    select person_no, list_sort(list(mess_kind)) as mess_kinds from (select distinct person_no, mess_kind from person_mess) group by 1
)
select p.person_no, p.kind, p.family_name, p.given_name, p.full_name, p.country, p.account_no, p.head_no as household_head_no, moment(p.arrival_day) as arrived_at,
    p.kind <> 'test' and (p.will_buy or p.will_win) as will_convert, f.converted_at, coalesce(m.mess_kinds, []) as mess_kinds
from person as p left join first_time as f using (person_no) left join messy as m using (person_no)
where p.arrival_day < getvariable('days')
order by p.person_no;

create table truth_person_account as
select p.person_no, a.account_id, a.account_no from person as p join account as a using (account_no) where p.arrival_day < getvariable('days') order by p.person_no;

-- Counts for world.json: rows written per source object, and how often each kind of mess occurs.
create table record_count as
select case when is_app then 'app.events' else 'website.events' end as name, count(*) as written, count(*) filter (is_torn) as malformed from event group by all
union all select source_of(file) || '.' || table_of(file), count(*), 0 from backing_row group by all
union all select source_of(t.file) || '.' || table_of(t.file), count(*), 0 from text_row as t where t.file = 'ads/spend' group by all
union all select source || '.' || table_name, count(*), count(*) filter (not is_readable) from record_row where source in ('shop', 'pos', 'forms', 'coupons', 'nps', 'consent') group by all
union all select 'ads.clicks', count(*), 0 from ads_clicks
union all select 'mini_program.users', count(*), 0 from mini_program_users;

create table mess_count as
select mess_kind, sum(occurrences)::bigint as occurrences from person_mess group by all
union all select 'account_cycle', count(*) from account where account_no <= 6
union all select 'test_account', count(*) from truth_person where kind = 'test'
union all select 'bot', count(*) from truth_person where kind = 'bot';
