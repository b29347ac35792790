-- Support tickets as of the end of the last day. Who has a refund writes more often; so do prospects who will sign.
create table ticket as
with asked as (
    select o.person_no, o.visit_no * 4 as ticket_no, coalesce(o.refunded_at - interval 1 day, o.created_at + to_seconds(floor(86400 * (0.5 + 6 * draw(o.visit_no, 'asks on')))::bigint)) as created_at,
        case when o.refunded_at is not null then 'Refund for order ' else 'Where is my order ' end || o.order_id || '?' as subject
    from order_fact as o where o.kind <> 'test' and draw(o.visit_no, 'asks') < case when o.refunded_at is not null then 0.6 else 0.08 end
    union all
    select p.person_no, p.person_no::bigint * 4 + 1, moment(p.arrival_day + 1 + 40 * draw(p.person_no, 'asks on')),
        case when p.is_business then pick(['Datasheet for the panel', '请问有没有检测报告', 'Lead time for 500 pieces'], draw(p.person_no, 'question')) else pick(['Lamp flickers 💡', '灯不亮了', 'Which bulb fits?', ''], draw(p.person_no, 'question')) end
    from person as p where p.kind not in ('bot', 'test') and draw(p.person_no, 'asks') < case when p.will_win then 0.3 when p.is_business then 0.06 when p.will_buy then 0.05 else 0.01 end
)
select t.*, p.* exclude (person_no, closed_at), case when p.kind = 'business' then p.work_email else p.email end as known_email,
    case when draw(ticket_no, 'contact by') < 0.35 or (case when p.kind = 'business' then p.work_email else p.email end) is null then phone_on(phone, phone_until_day, next_phone, day_of(created_at)) end as told_phone,
    created_at + to_seconds(1800 + floor(7200 * draw(ticket_no, 'opened'))::bigint) as opened_at,
    created_at + to_seconds(36000 + floor(36000 * draw(ticket_no, 'pending'))::bigint) as pending_at,
    created_at + to_seconds(floor(86400 * (1 + 2.5 * draw(ticket_no, 'solved')))::bigint) as solved_at,
    created_at + to_seconds(floor(86400 * 8.0)::bigint) as closed_at
from asked as t join person as p using (person_no)
where t.created_at < as_of();

create table ticket_written as
select *, case when told_phone is not null and draw(ticket_no, 'contact by') < 0.2 and known_email is not null then null else known_email end as told_email,
    (ticket_no * 48271) % 1000000000000 as id, last_of([created_at, opened_at, pending_at, solved_at, closed_at]) as updated_at,
    draw(ticket_no, 'rates') < 0.4 and solved_at < as_of() as is_rated
from ticket;

insert into backing_row
select 'support/tickets', updated_at, lpad(id::varchar, 15, '0'),
    json_object('id', id, 'requester', json_object('name', full_name, 'email', written_email(told_email, ticket_no), 'phone', written_phone(told_phone, ticket_no)), 'subject', subject,
        'channel', pick(['email', 'web', 'phone', 'chat', 'wechat'], draw(ticket_no, 'channel')), 'priority', pick(['low', 'normal', 'normal', 'high', 'urgent'], draw(ticket_no, 'priority')),
        'status', case when closed_at < as_of() then 'closed' when solved_at < as_of() then 'solved' when pending_at < as_of() then 'pending' when opened_at < as_of() then 'open' else 'new' end,
        'csat', case when is_rated then 1 + floor(5 * pow(draw(ticket_no, 'csat'), 0.4))::integer end,
        'replies', case when pending_at < as_of() then floor(case when will_win or will_buy then 6 else 3 end * draw(ticket_no, 'replies'))::integer else 0 end,
        'created_at', iso(created_at), 'updated_at', iso(updated_at))::varchar
from ticket_written;
insert into record_row
select 'support', 'tickets', id::varchar, person_no, null, true, null, kinds([email_form(told_email, ticket_no), phone_form(told_phone, ticket_no), case when has_family_email and kind <> 'business' then 'family_email' end]) from ticket_written;
insert into typo_email select person_no, mistyped_domain(told_email), created_at from ticket_written where email_form(told_email, ticket_no) = 'email_typo';
