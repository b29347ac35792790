-- Consents given and withdrawn: at sign-up, in the cookie banner, by following the account, on forms.
create table consent_event as
with given as (
    select v.person_no, v.visit_no * 16 + 1 as row_no, case when p.email is not null and draw(v.visit_no, 'by mail') < 0.7 then 'email' else 'user_id' end as identifier_type, 'marketing_email' as purpose, 'signup' as channel,
        v.started_at + to_seconds(86) as occurred_at, case when draw(v.visit_no, 'allows mail') < 0.62 then 'granted' end as state, v.anonymous_id
    from visit as v join person as p using (person_no) where v.visit_kind = 'signup'
    union all
    select v.person_no, v.visit_no * 16 + 2, 'phone', 'marketing_sms', 'signup', v.started_at + to_seconds(87), case when p.phone is not null and draw(v.visit_no, 'allows sms') < 0.4 then 'granted' end, v.anonymous_id
    from visit as v join person as p using (person_no) where v.visit_kind = 'signup'
    union all
    select v.person_no, v.visit_no * 16 + 3, 'user_id', 'ads', 'signup', v.started_at + to_seconds(88), case when draw(v.visit_no, 'allows ads') < 0.35 then 'granted' end, v.anonymous_id
    from visit as v where v.visit_kind = 'signup'
    union all
    select v.person_no, v.visit_no * 16 + 4, 'anonymous_id', 'analytics', 'cookie_banner', v.started_at + to_seconds(5), case when draw(v.visit_no, 'banner') < 0.6 then 'granted' else 'withdrawn' end, v.anonymous_id
    from visit as v join person as p using (person_no) where v.day = p.arrival_day and v.slot = 0 and not v.is_app and v.person_kind <> 'bot' and draw(v.visit_no, 'answers banner') < 0.7
    union all
    select v.person_no, v.visit_no * 16 + 5, 'anonymous_id', 'ads', 'cookie_banner', v.started_at + to_seconds(5), case when draw(v.visit_no, 'banner') < 0.45 then 'granted' else 'withdrawn' end, v.anonymous_id
    from visit as v join person as p using (person_no) where v.day = p.arrival_day and v.slot = 0 and not v.is_app and v.person_kind <> 'bot' and draw(v.visit_no, 'answers banner') < 0.7
    union all
    select person_no, person_no::bigint * 16 + 6, 'wechat_openid', 'marketing_wechat', 'official_account', subscribed_at, 'granted', null from follower
    union all
    select r.person_no, r.key_no * 16 + 7, 'email', 'marketing_email', 'form', r.registered_at, case when given_email is not null and draw(r.key_no, 'allows mail') < 0.8 then 'granted' end, null from registration as r
), taken_back as (
    select person_no, row_no + 8 as row_no, identifier_type, purpose, 'preference_centre' as channel, occurred_at + to_seconds(floor(86400 * (4 + 40 * draw(row_no, 'withdrawn after')))::bigint) as occurred_at, 'withdrawn' as state, anonymous_id
    from given where state = 'granted' and purpose <> 'marketing_wechat' and draw(row_no, 'withdraws') < 0.08
    union all
    select person_no, person_no::bigint * 16 + 14, 'wechat_openid', 'marketing_wechat', 'official_account', left_at, 'withdrawn', null from follower where left_at is not null
)
select g.*, p.* exclude (person_no) from (from given where state is not null union all from taken_back) as g join person as p using (person_no);

create table consent_written as
select c.*, coalesce(r.given_email, c.email) as consent_email
from consent_event as c left join registration as r on c.channel in ('form', 'preference_centre') and r.key_no = c.row_no // 16 and c.row_no % 16 in (7, 15);

create table consent_rows as
select row_no, occurred_at as happened_at, 'cns_' || token('consent', row_no, 16) as record_key, person_no,
    json_object('consent_id', 'cns_' || token('consent', row_no, 16), 'identifier_type', identifier_type,
        'identifier_value', case identifier_type when 'email' then written_email(consent_email, row_no) when 'phone' then phone_on(phone, phone_until_day, next_phone, day_of(occurred_at)) when 'wechat_openid' then openid when 'user_id' then user_id else anonymous_id end,
        'purpose', purpose, 'state', state, 'channel', channel, 'occurred_at', iso(occurred_at), 'text_version', case when day_of(occurred_at) < 45 then '2025-11' else '2026-02' end, 'ip', '198.51.100.' || 1 + floor(254 * draw(row_no, 'ip'))::integer)::varchar as line,
    '' as tail, kinds([case when identifier_type = 'email' then email_form(consent_email, row_no) end, case when identifier_type = 'email' and has_family_email and consent_email = email then 'family_email' end]) as mess
from consent_written;

create table consents_filed as from filed('consent_rows', 'consent/consents', true);
insert into text_row select file, file_day, position, line from consents_filed;
insert into record_row select 'consent', 'consents', record_key, person_no, file_day, is_readable, reason, mess from consents_filed;
insert into typo_email select person_no, mistyped_domain(consent_email), occurred_at from consent_written where identifier_type = 'email' and email_form(consent_email, row_no) = 'email_typo';
