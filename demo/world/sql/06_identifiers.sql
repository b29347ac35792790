-- One row per person: the identifiers they own in their canonical form. Addresses are under reserved domains (RFC 2606, RFC 6761) or,
-- for the rules of Gmail, have a local part of over 30 letters, which Gmail does not allow, so that no mailbox can exist.
-- Phone numbers come from blocks nobody answers: +86 1740x (satellite terminals), 555-01xx (NANPA), drama numbers of Ofcom,
-- ARCEP (+33 6 39 98) and Bundesnetzagentur (171 39200xx, 176 040690xx). Where such a block is used up a person has no phone.
set variable us_areas = ['201','202','203','205','206','207','208','209','210','212','213','214','215','216','217','218','219','224','225','228','229','231','234','239','240',
    '248','251','252','253','254','256','260','262','267','269','270','272','276','281','301','302','303','304','305','307','308','309','310','312','313','314','315','316','317','318',
    '319','320','321','323','325','330','331','334','336','337','339','347','351','352','360','361','385','386','401','402','404','405','406','407','408','409','410','412','413','414',
    '415','417','419','423','424','425','430','432','434','435','440','442','443','458','463','469','470','475','478','479','480','484','501','502','503','504','505','507','508','509'];

create table phone_pairs as
-- Recycled numbers: the i-th giver's number goes to the i-th receiver, who arrives at least ten days after the giver.
with givers as (
    select person_no, arrival_day, row_number() over (order by arrival_day, person_no) as pair_no
    from person_drawn where country = 'CN' and kind in ('consumer', 'both') and arrival_day < getvariable('horizon') * 0.5 and draw(person_no, 'gives phone') < 0.03
), receivers as (
    select person_no, arrival_day, row_number() over (order by arrival_day, person_no) as pair_no
    from person_drawn where country = 'CN' and kind in ('consumer', 'both') and arrival_day >= getvariable('horizon') * 0.5 and draw(person_no, 'gets phone') < 0.06
)
select g.person_no as giver_no, r.person_no as receiver_no, r.arrival_day - 5 as until_day
from givers as g join receivers as r using (pair_no)
where r.arrival_day - g.arrival_day >= 10;

create table identifier_owned as
with numbered as (
    select p.*,
        case
            when kind = 'bot' then null
            when country = 'CN' then '+861740' || lpad(((person_no::bigint * 48271) % 5000000)::varchar, 7, '0')
            when country = 'US' and country_rank < 100 * len(getvariable('us_areas')) then
                '+1' || getvariable('us_areas')[1 + country_rank % len(getvariable('us_areas'))] || '55501' || lpad((country_rank // len(getvariable('us_areas')))::varchar, 2, '0')
            when country = 'GB' and country_rank < 1000 then '+447700900' || lpad(country_rank::varchar, 3, '0')
            when country = 'FR' and country_rank < 10000 then '+3363998' || lpad(country_rank::varchar, 4, '0')
            when country = 'DE' and country_rank < 100 then '+4917139200' || lpad(country_rank::varchar, 2, '0')
            when country = 'DE' and country_rank < 200 then '+49176040690' || lpad((country_rank - 100)::varchar, 2, '0')
        end as own_phone,
        '+8617405' || lpad(((person_no::bigint * 48271) % 1000000)::varchar, 6, '0') as next_phone,
        draw(person_no, 'mail host') as u_host,
        given_letters || case when draw(person_no, 'mail shape') < 0.5 then '.' else '' end || family_letters || code as local_part
    from person_drawn as p
), addressed as (
    select *,
        case
            when kind = 'bot' then null
            when kind = 'test' then 'test' || code || '@test.lumen.example'
            when kind = 'business' or draw(person_no, 'has mail') < case when country = 'CN' then 0.12 else 0.02 end then null
            when u_host < case when country = 'CN' then 0.04 else 0.25 end then
                substr(replace(local_part, '.', '') || 'lumendemoworldaddressthatcannotexist', 1, 36) || '@gmail.com'
            else local_part || '@' || pick(['example.com', 'example.com', 'example.org', 'example.net', 'mail.example', 'mail.example', 'post.example', 'qqmail.example'], draw(person_no, 'mail domain'))
        end as own_email
    from numbered
)
select
    a.person_no,
    case when a.head_no is not null and draw(a.person_no, 'family mail') < 0.25 and h.own_email is not null then h.own_email else a.own_email end as home_email,
    a.head_no is not null and draw(a.person_no, 'family mail') < 0.25 and h.own_email is not null as has_family_email,
    case when a.is_business then a.given_letters || '.' || a.family_letters
        || case when row_number() over (partition by a.account_no, a.given_letters, a.family_letters order by a.person_no) > 1
            then row_number() over (partition by a.account_no, a.given_letters, a.family_letters order by a.person_no)::varchar else '' end
        || '@' || acc.domain end as work_email,
    coalesce(giver.own_phone, a.own_phone) as phone,
    given.until_day as phone_until_day,
    case when given.until_day is not null then a.next_phone end as next_phone,
    received.giver_no as phone_from_no,
    a.head_no is not null and draw(a.person_no, 'shared device') < 0.5 as shares_device,
    'oLumen' || token('openid', a.person_no, 22) as openid,
    'oMini0' || token('mini openid', a.person_no, 22) as mini_openid,
    'uLumen' || token('unionid', a.person_no, 22) as unionid,
    'wm' || token('external userid', a.person_no, 30) as external_userid,
    'u_' || token('user', a.person_no, 12) as user_id,
    'C' || upper(token('customer', a.person_no, 11)) as customer_id,
    'C' || upper(token('guest', a.person_no, 11)) as guest_customer_id,
    '29' || lpad(((a.person_no::bigint * 1000003) % 99999999977)::varchar, 11, '0') as card_no,
    'con_' || token('contact', a.person_no, 14) as contact_id,
    'lead_' || token('lead', a.person_no, 14) as lead_id,
    'lead_' || token('second lead', a.person_no, 14) as second_lead_id,
    'opp_' || token('opportunity', a.person_no, 14) as opportunity_id
from addressed as a
left join addressed as h on h.person_no = a.head_no
left join account as acc on acc.account_no = a.account_no
left join phone_pairs as given on given.giver_no = a.person_no
left join phone_pairs as received on received.receiver_no = a.person_no
left join addressed as giver on giver.person_no = received.giver_no
order by a.person_no;

-- Everything about a person in one row; `email` is the address they give as a customer.
create table person as
select p.*, i.* exclude (person_no), coalesce(i.home_email, case when p.kind = 'business' then i.work_email end) as email,
    l.* exclude (person_no, arrival_day, kind, country, is_business, is_consumer),
    case when l.register_day is not null then p.person_no end as has_user_no,
    case when p.is_family_first then p.family_name || p.given_name else p.given_name || ' ' || p.family_name end as full_name,
    case when p.country in ('CN', 'DE', 'FR') and p.is_consumer and draw(p.person_no, 'has card') < case when l.store_day is not null then 0.7 when l.will_buy then 0.35 else 0.08 end
        then coalesce(l.store_day, p.arrival_day + floor(25 * draw(p.person_no, 'card day'))::integer) end as card_day
from person_drawn as p join identifier_owned as i using (person_no) join plan as l using (person_no)
order by p.person_no;

-- The phone a person has on a day: after a number was given up, the next one.
create macro phone_on(phone, until_day, next_phone, day) as case when until_day is not null and day >= until_day then next_phone else phone end;
