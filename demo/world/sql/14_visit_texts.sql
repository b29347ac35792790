-- What the text of an event is made of and what is the same in a whole visit, written once per visit.
create table visit_text as
select v.visit_no, v.day, v.person_no, v.anonymous_id, v.is_business, p.user_id, p.currency,
    -- one device in a hundred has a wrong clock
    case when draw(v.device_owner_no::bigint * 4 + v.device_no, 'clock') < 0.01 then floor(7200000 * (draw(v.device_owner_no, 'skew') - 0.5))::bigint else 0 end as skew_ms, v.known_from_step, v.click_id, v.campaign_no, v.product_no, v.is_app,
    ',"context":{"ip":"' || case when draw(v.device_owner_no * 4 + v.device_no, 'ip 6') < 0.1 then '2001:db8:' || token('ip', v.device_owner_no * 4 + v.device_no, 4) || '::' || token('ip', v.device_owner_no * 4 + v.device_no, 2)
        else pick(['192.0.2.', '198.51.100.', '203.0.113.'], draw(v.device_owner_no, 'net')) || 1 + floor(254 * draw(v.visit_no, 'host'))::integer end
    || '","userAgent":"' || u.user_agent || '","locale":"' || p.locale || '","timezone":"' || p.time_zone || '"'
    || case when v.is_app then ',"device":{"id":"' || upper(uuid_text('device', v.device_owner_no)) || '","type":"' || case when u.user_agent like '%iPhone%' then 'ios' else 'android' end || '"},"app":{"name":"Lumen","version":"' || split_part(u.user_agent[7:], ' ', 1)
        || '"},"library":{"name":"analytics-swift","version":"1.6.2"}' else ',"library":{"name":"analytics.js","version":"next-1.76.0"}' end as context_head,
    case when v.campaign_no is not null then ',"campaign":{"source":"' || c.source || '","medium":"' || c.medium || '","name":' || to_json(c.campaign)::varchar
        || case when c.keywords is not null then ',"term":' || to_json(pick(c.keywords, draw(v.visit_no, 'keyword')))::varchar else '' end || ',"content":"' || pick(['a', 'b'], draw(v.visit_no, 'content')) || '"}' else '' end as campaign_text,
    case when v.campaign_no is not null then '?utm_source=' || c.source || '&utm_medium=' || c.medium || coalesce('&' || case c.platform when 'google' then 'gclid' when 'baidu' then 'bd_vid' when 'meta' then 'fbclid'
        when 'tiktok' then 'ttclid' else 'li_fat_id' end || '=' || v.click_id, '') else '' end as landing_query,
    case when c.platform is not null then 'https://www.' || c.platform || '.example/' when draw(v.visit_no, 'referrer') < 0.3 then 'https://search.example/' else '' end as referrer
from visit as v
join person as p on p.person_no = v.person_no
join user_agent as u on u.device = case when v.person_kind = 'bot' then 'bot' when v.is_app then 'app' when v.device_no = 2 then 'desktop' else 'mobile' end
    and u.agent_no = floor(3 * draw(v.device_owner_no * 4 + v.device_no, 'agent'))
left join campaign as c on c.campaign_no = v.campaign_no
order by v.day, v.visit_no;

-- What somebody says of themselves when they sign in or send a form, one row per such event.
create table self_report as
with reporting as (
    select distinct on (e.event_no) e.event_no, e.visit_no, e.call, v.day, v.visit_kind, v.person_no, v.is_business and v.visit_kind in ('content', 'pricing', 'contact', 'whitepaper') as at_work
    from event as e join visit as v using (visit_no)
    where e.call in ('identify', 'group') or e.event = 'Form Submitted'
)
select r.event_no, r.day, r.person_no, r.visit_kind, r.at_work, r.call, email_form(case when r.at_work then p.work_email else p.email end, r.event_no) as email_form,
    written_email(case when r.at_work then p.work_email else p.email end, r.event_no) as email,
    case when draw(r.event_no, 'tells phone') < 0.6 then phone_form(phone_on(p.phone, p.phone_until_day, p.next_phone, r.day), r.event_no) end as phone_form,
    case when draw(r.event_no, 'tells phone') < 0.6 then written_phone(phone_on(p.phone, p.phone_until_day, p.next_phone, r.day), r.event_no) when draw(r.event_no, 'tells phone') < 0.65 then '' end as phone,
    draw(r.event_no, 'phone is null') < 0.5 as is_null_written, p.given_name, p.family_name, p.full_name, a.name as company, p.user_id, p.has_family_email, a.account_id
from reporting as r join person as p on p.person_no = r.person_no left join account as a on a.account_no = p.account_no
order by r.event_no;


insert into typo_email
select r.person_no, mistyped_domain(case when r.at_work then p.work_email else p.email end), e.occurred_at
from self_report as r join person as p using (person_no) join (select event_no, min(occurred_at) as occurred_at from event where event = 'Form Submitted' or call = 'identify' group by 1) as e using (event_no)
where r.email_form = 'email_typo';
