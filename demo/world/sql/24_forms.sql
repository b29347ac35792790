-- Registrations by form (website, webinars, fairs, newsletter) and check-ins at the fairs.
create table registration as
with wanted as (
    select v.person_no, v.visit_no * 8 as key_no, case when v.visit_kind = 'contact' then 'contact-sales' else 'whitepaper-1' end as form_id,
        case when v.visit_kind = 'contact' then 'Talk to us' else 'Whitepaper: light and work' end as form_name, v.started_at + to_seconds(200) as registered_at, coalesce(c.campaign, '') as campaign, true as at_work, null::integer as fair_no
    from visit as v left join campaign as c using (campaign_no) where v.visit_kind in ('contact', 'whitepaper')
    union all
    select p.person_no, (p.person_no::bigint * 256 + f.fair_no) * 8 + 1, 'fair-' || f.code, 'Fair ' || f.code,
        moment(greatest(p.arrival_day + 0.3, f.first_day - 11 * draw(p.person_no::bigint * 256 + f.fair_no, 'registers early')) + 0.2 * draw(p.person_no::bigint * 256 + f.fair_no, 'registers hour')), 'fair-' || f.code, p.is_business, f.fair_no
    from person as p join fair as f on f.first_day > p.arrival_day and f.first_day < getvariable('days') + 15
    where p.kind not in ('bot', 'test') and draw(p.person_no::bigint * 256 + f.fair_no, 'goes to fair') < case when p.will_win then 0.45 when p.is_lead then 0.15 when p.is_business then 0.06 else 0.003 end
    union all
    select p.person_no, (p.person_no::bigint * 1024 + w.i) * 8 + 2, 'webinar-' || w.i, 'Webinar ' || w.i || ': circadian light', moment(10 + 14 * w.i - 5 * draw(p.person_no::bigint * 1024 + w.i, 'joins early')), 'webinar', true, null
    from person as p join range(0, 290) as w(i) on 10 + 14 * w.i - 5 > p.arrival_day and 10 + 14 * w.i < getvariable('days') + 10
    where p.is_business and draw(p.person_no::bigint * 1024 + w.i, 'joins webinar') < case when p.will_win then 0.15 else 0.03 end
    union all
    select p.person_no, p.person_no::bigint * 8 + 3, 'newsletter', 'Newsletter', moment(p.arrival_day + 0.4 + 6 * draw(p.person_no, 'newsletter day')), 'newsletter', false, null
    from person as p where p.is_consumer and p.email is not null and draw(p.person_no, 'newsletter') < case when p.will_buy then 0.2 else 0.09 end
)
select w.*, p.* exclude (person_no), a.name as company, 'reg_' || token('registration', key_no, 14) as registration_id,
    case when at_work then work_email else email end as given_email,
    case when form_id <> 'newsletter' and (draw(key_no, 'phone on form') < 0.55 or (case when at_work then work_email else email end) is null) then phone_on(phone, phone_until_day, next_phone, day_of(registered_at)) end as given_phone
from wanted as w join person as p using (person_no) left join account as a on a.account_no = p.account_no
where w.registered_at < as_of();

create table registration_rows as
select key_no as row_no, registered_at as happened_at, registration_id as record_key, person_no,
    concat_ws(',', registration_id, form_id, csv_field(form_name),
        csv_field(case when draw(key_no, 'name order') < 0.06 and not is_family_first then family_name || ', ' || given_name when draw(key_no, 'name order') > 0.97 then '' else full_name end),
        coalesce(written_email(given_email, key_no), ''), coalesce(written_phone(given_phone, key_no), ''), csv_field(case when at_work then company end), csv_field(campaign), iso(registered_at)) as line,
    ',' || csv_field(case when at_work then pick(['Facility Manager', '采购经理', 'Architect, partner', '设计师', 'Einkauf', ''], draw(person_no, 'form title')) end) as tail,
    kinds([email_form(given_email, key_no), phone_form(given_phone, key_no), case when has_family_email and not at_work then 'family_email' end]) as mess
from registration;

create table registrations_filed as from filed('registration_rows', 'forms/registrations', false);
insert into text_row select file, file_day, position, line from registrations_filed;
insert into record_row select 'forms', 'registrations', record_key, person_no, file_day, is_readable, reason, mess from registrations_filed;
insert into typo_email select person_no, mistyped_domain(given_email), registered_at from registration where email_form(given_email, key_no) = 'email_typo';

create table checkin_rows as
with arrived as (
    select r.*, local_offset(f.utc_offset, f.utc_offset = 1, moment(f.first_day)) as fair_offset, moment(f.first_day + floor(3 * draw(r.key_no, 'fair day')) + (9 + 8 * draw(r.key_no, 'fair hour') - f.utc_offset) / 24) as scanned_at
    from registration as r join fair as f using (fair_no)
    where draw(r.key_no, 'shows up') < case when r.will_win then 0.92 else 0.68 end
)
select key_no as row_no, scanned_at as happened_at, registration_id as record_key, person_no,
    concat_ws(',', registration_id, pick(['A01', 'A02', 'B12'], draw(key_no, 'booth')),
        strftime(scanned_at + to_hours(fair_offset), '%Y-%m-%dT%H:%M:%S') || '+0' || fair_offset || ':00', pick(['zhangmin', 'lihao', 'wangfang', 'anna.koch'], draw(key_no, 'scanner'))) as line,
    '' as tail, []::varchar[] as mess
from arrived;

create table checkins_filed as from filed('checkin_rows', 'forms/checkins', false);
insert into text_row select file, file_day, position, line from checkins_filed;
insert into record_row select 'forms', 'checkins', record_key, person_no, file_day, is_readable, reason, mess from checkins_filed;
