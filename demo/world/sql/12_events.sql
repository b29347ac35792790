-- One row per event as it arrived, repeats included, in a compact form that 13_event_lines.sql writes out day by day.
-- event_no = visit_no * 16 + step; steps 1 and 2 and 9 are signing in, identifying and grouping.
create table event_fact as
with template as (
    select v.visit_no, s.step, s.call, s.name, s.path, s.keep, s.keep_keen from visit as v join step as s using (visit_kind)
), kept as (
    select t.visit_no, t.step, t.call, t.name, t.path
    from template as t join visit as v using (visit_no) join person as p on p.person_no = v.person_no
    where draw(t.visit_no * 16 + t.step, 'step') < case when coalesce(p.will_buy, false) or coalesce(p.will_win, false) then t.keep_keen else t.keep end
        or (t.step = 0 and v.campaign_no is not null) -- the landing page carries the campaign
    union all
    select visit_no, 1, 'track', 'Application Opened', null from visit where is_app
    union all
    select visit_no, 2, 'track', case when visit_kind = 'signup' then 'Signed Up' else 'Signed In' end, '/login' from visit where known_from_step = 2
    union all
    select visit_no, 9, 'identify', null, null from visit where known_from_step = 2
    union all
    select visit_no, 10, 'group', null, null from visit where known_from_step = 2 and is_business and not is_app
)
select k.visit_no, k.visit_no * 16 + k.step as event_no, k.step::tinyint as step, k.call,
    case when k.call = 'track' then k.name end as event, case when k.call = 'page' then k.name end as page, k.path,
    v.is_app, v.day, v.person_kind = 'bot' as is_bot,
    -- identify and group follow the sign-in immediately; bots are quick
    v.started_at + to_milliseconds(floor(case when k.step = 9 then 2 * 40000 + 31000 when k.step = 10 then 2 * 40000 + 32500
        when v.person_kind = 'bot' then k.step * 700 else k.step * 40000 + 30000 * draw(k.visit_no * 16 + k.step, 'pause') end)::bigint) as occurred_at
from kept as k join visit as v using (visit_no);

create table event as
with timed as (
    select *,
        case
            -- one event in 70 arrives days later; one app event in 20 waits hours for a network
            when draw(event_no, 'late') < 0.0143 and not is_bot then 86400000 * (0.8 + 4 * draw(event_no, 'how late'))
            when is_app and draw(event_no, 'late') < 0.064 then 3600000 * (1 + 11 * draw(event_no, 'how late'))
            -- one in 100 overtakes its neighbours within minutes
            when draw(event_no, 'overtaken') < 0.01 then 60000 + 1200000 * draw(event_no, 'how late')
            else 150 + 900 * draw(event_no, 'how late') end as delay_ms,
        draw(event_no, 'repeat') as u_repeat
    from event_fact
), repeated as (
    select *, unnest(case when u_repeat < 0.007 then [0, 1] when u_repeat < 0.010 then [0, 2] else [0] end) as copy_no from timed
), received as (
    select *, occurred_at + to_milliseconds(floor(delay_ms)::bigint + case when copy_no = 2 then floor(60000 + 36 * 3600000 * draw(event_no, 'sent again'))::bigint else 0 end) as received_at
    from repeated
)
select event_no, copy_no::tinyint as copy_no, visit_no, step, call, event, page, path, is_app, occurred_at, received_at,
    date_diff('day', timestamp '2026-01-01', received_at)::integer as file_day,
    delay_ms >= 60000 * 1000 as is_late, delay_ms between 60000 and 60000000 as is_overtaken,
    u_repeat >= 0.010 and draw(event_no, 'torn') < getvariable('torn_event_share') as is_torn
from received
where received_at < as_of()
order by is_app, file_day, received_at, event_no, copy_no;

drop table event_fact;
