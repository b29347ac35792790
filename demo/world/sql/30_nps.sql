-- Answers to the surveys after a purchase and after a signed project.
create table answer as
with asked as (
    select person_no, visit_no * 2 as row_no, created_at + to_seconds(floor(86400 * (9 + 4 * draw(visit_no, 'answers on')))::bigint) as answered_at, 'post-purchase' as survey, refunded_at is not null as is_angry
    from order_fact where kind <> 'test' and draw(visit_no, 'answers') < 0.2
    union all
    select person_no, person_no::bigint * 2 + 1, closed_at + to_seconds(floor(86400 * (3 + 4 * draw(person_no, 'answers on')))::bigint), 'project', false from opportunity_fact where will_win and draw(person_no, 'answers') < 0.5
)
select a.*, p.* exclude (person_no), case when survey = 'project' then p.work_email else p.email end as asked_email,
    case when survey <> 'project' and p.mini_at is not null and moment(p.mini_at) <= answered_at and draw(row_no, 'asked by') < 0.3 then 'openid'
        when survey <> 'project' and p.register_day is not null and p.register_day < day_of(answered_at) and draw(row_no, 'asked by') < 0.6 then 'user_id' else 'email' end as asked_by
from asked as a join person as p using (person_no);

create table answer_rows as
select row_no, answered_at as happened_at, 'nps_' || token('answer', row_no, 14) as record_key, person_no,
    '{"response_id":"nps_' || token('answer', row_no, 14) || '",'
        || case asked_by when 'openid' then '"openid":"' || mini_openid || '"' when 'user_id' then '"user_id":"' || user_id || '"' else '"email":"' || written_email(asked_email, row_no) || '"' end
        || ',"score":' || case when is_angry then floor(7 * draw(row_no, 'score')) else 10 - floor(11 * pow(draw(row_no, 'score'), 3)) end::integer
        || ',"answered_at":"' || iso(answered_at) || '","survey":"' || survey || '"'
        || ',"comment":' || coalesce(to_json(pick(['很好用👍', 'Light is lovely 😍', '', null, null, '物流太慢', 'ok', 'Zu dunkel…', 'He said "wow"'], draw(row_no, 'comment')))::varchar, 'null') || '}' as line,
    '' as tail, kinds([case when asked_by = 'email' then email_form(asked_email, row_no) end]) as mess
from answer
where asked_by <> 'email' or asked_email is not null;

create table answers_filed as from filed('answer_rows', 'nps/answers', true);
insert into text_row select file, file_day, position, line from answers_filed;
insert into record_row select 'nps', 'answers', record_key, person_no, file_day, is_readable, reason, mess from answers_filed;
insert into typo_email select person_no, mistyped_domain(asked_email), answered_at from answer where asked_by = 'email' and email_form(asked_email, row_no) = 'email_typo';
