-- WeChat: followers of the official account (backing table) and users of the mini program (daily Parquet).
create table follower as
select *, moment(follow_at) as subscribed_at, case when draw(person_no, 'unionid missing') < 0.12 then null else unionid end as known_unionid,
    case when draw(person_no, 'leaves account') < 0.12 then moment(follow_at + 3 + 27 * draw(person_no, 'leaves on')) end as left_at,
    case when draw(person_no, 'tagged') < case when will_buy or will_win then 0.5 else 0.15 end then moment(follow_at + 1 + 9 * draw(person_no, 'tagged on')) end as tagged_at
from person
where moment(follow_at) < as_of();

insert into backing_row
select 'wechat_oa/followers', last_of([subscribed_at, left_at, tagged_at]), openid,
    json_object('openid', openid, 'unionid', known_unionid, 'subscribe', case when left_at < as_of() then 0 else 1 end, 'subscribe_time', epoch(subscribed_at)::bigint, 'nickname', nickname,
        'language', 'zh_CN', 'city', city, 'province', '', 'country', '中国', 'sex', gender, 'subscribe_scene', pick(['ADD_SCENE_QR_CODE', 'ADD_SCENE_SEARCH', 'ADD_SCENE_PROFILE_CARD', 'ADD_SCENE_OTHERS'], draw(person_no, 'scene')),
        'qr_scene', 0, 'qr_scene_str', case when draw(person_no, 'scene') < 0.25 then pick(['store-SH-01', 'store-GZ-01', 'package-insert', 'fair-GZ-202601', 'web-footer'], draw(person_no, 'qr')) else '' end,
        'remark', '', 'groupid', 0, 'tagid_list', case when tagged_at < as_of() then [100 + floor(6 * draw(person_no, 'which tag'))::integer] else [] end,
        'updated_at', iso(last_of([subscribed_at, left_at, tagged_at])))::varchar
from follower;
insert into record_row select 'wechat_oa', 'followers', openid, person_no, null, true, null, kinds([case when known_unionid is null then 'no_unionid' end]) from follower;

create table mini_user_day as
with due as (
    select *, unnest(range(floor(mini_at)::bigint, getvariable('days')::bigint))::integer as day from person where floor(mini_at) < getvariable('days')
), seen as (
    select d.*, d.person_no::bigint * 4096 + d.day as row_no, o.created_at as ordered_at, d.day = floor(mini_at) as is_first,
        draw(d.person_no, 'authorises phone') as u_phone
    from due as d left join order_fact as o on o.person_no = d.person_no and o.day = d.day and o.channel = 'mini_program'
)
select row_no, person_no, day as file_day, mini_openid as openid, case when draw(person_no, 'mini unionid missing') < 0.03 then null else unionid end as unionid,
    -- authorised at once, at a later visit, or never
    case when u_phone < 0.45 or (u_phone < 0.7 and not is_first) then phone_on(phone, phone_until_day, next_phone, day)[4:] end as phone,
    nickname, moment(mini_at) as registered_at,
    case when is_first then moment(mini_at) else coalesce(ordered_at, moment(day + 0.05 + 0.9 * draw(row_no, 'seen hour'))) end as last_seen_at,
    pick([1001, 1007, 1011, 1035, 1043, 1089], draw(row_no, 'mini scene')) as scene
from seen
where is_first or ordered_at is not null or draw(row_no, 'seen') < case when will_buy then 0.05 else 0.02 end;

create table mini_program_users as
select file_day, row_no, openid, unionid, phone, case when phone is not null then '86' end as country_code, nickname, registered_at, last_seen_at, scene::integer as scene
from mini_user_day
order by file_day, row_no;
insert into record_row
select distinct 'mini_program', 'users', openid, person_no, null::integer, true, null::varchar, kinds([case when unionid is null then 'no_unionid' end]) from mini_user_day;
