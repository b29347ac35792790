-- WeCom: staff, tags, and one row per relation between a member of staff and an external contact, shaped as externalcontact/batch/get_by_user
-- answers (developer.work.weixin.qq.com/document/path/96316).
insert into backing_row
select 'wecom/follow_users', timestamp '2026-01-01', lpad(staff_no::varchar, 3, '0'), json_object('userid', userid, 'name', name, 'department', department)::varchar from staff
union all
select 'wecom/corp_tags', timestamp '2026-01-01', lpad(tag_no::varchar, 3, '0'),
    json_object('group_id', group_id, 'group_name', group_name, 'tag_id', tag_id, 'tag_name', tag_name, 'order', tag_order, 'create_time', create_time)::varchar from corp_tag;

create table follow_relation as
with related as (
    select p.*, unnest(case when draw(person_no, 'second contact') < 0.2 then [0, 1] else [0] end) as relation_no from person as p where wecom_at is not null
), staffed as (
    select r.*, person_no::bigint * 2 + relation_no as row_no, s.userid, moment(wecom_at + relation_no * (2 + 6 * draw(person_no, 'second contact day'))) as added_at,
        draw(person_no, 'wecom unionid') < 0.8 as has_unionid, case when draw(person_no, 'wecom type') < 0.1 then 2 else 1 end as contact_type
    from related as r
    join staff as s on s.staff_no = case when r.is_business then 1 + (floor(5 * draw(r.account_no, 'owner'))::integer + r.relation_no) % 5 else 6 + (floor(3 * draw(r.person_no, 'guide'))::integer + r.relation_no) % 3 end
)
select *, case when draw(row_no, 'is tagged') < case when will_win or will_buy then 0.85 else 0.45 end then added_at + to_seconds(floor(86400 * (0.2 + 12 * draw(row_no, 'tagged after')))::bigint) end as tagged_at,
    case when draw(row_no, 'notes phone') < 0.55 then phone_on(phone, phone_until_day, next_phone, day_of(added_at)) end as noted_phone,
    case when is_business then case when lead_at is not null and draw(person_no, 'lead source') between 0.5 and 0.7 then 'fair-GZ-202601' else pick(['web-contact', 'whitepaper', 'fair-SH-202602', ''], draw(row_no, 'state')) end
        else pick(['store-SH-01', 'store-GZ-01', 'package-insert', '', ''], draw(row_no, 'state')) end as state
from staffed
where added_at < as_of();

create table intent_tag as
select (select tag_id from corp_tag where tag_name = '高意向') as high, (select tag_id from corp_tag where tag_name = '中意向') as middle, (select tag_id from corp_tag where tag_name = '低意向') as low,
    (select tag_id from corp_tag where tag_name = '展会') as fair, (select tag_id from corp_tag where tag_name = '终端用户') as end_user;

insert into backing_row
select 'wecom/external_contacts', last_of([added_at, tagged_at]), userid || '/' || external_userid,
    json_object('userid', userid, 'external_userid', external_userid, 'external_contact', json_merge_patch(
            json_object('external_userid', external_userid, 'name', case when contact_type = 1 then nickname else full_name end, 'type', contact_type, 'gender', gender,
                'avatar', 'https://avatar.example/' || token('avatar', r.person_no, 12) || '/0'),
            case when has_unionid and contact_type = 1 then json_object('unionid', unionid) else '{}'::json end,
            case when contact_type = 2 then json_object('position', 'Manager', 'corp_name', a.name) else '{}'::json end),
        'follow_info', json_object('userid', userid, 'remark', case when is_business and draw(row_no, 'has remark') < 0.7 then family_name || pick(['总', '经理', '工', ''], draw(row_no, 'remark')) else '' end,
            'description', case when tagged_at < as_of() and (will_win or will_buy) then '已回复,要报价' when tagged_at < as_of() then '未回复' else '' end,
            'createtime', epoch(added_at)::bigint,
            'tag_id', case when tagged_at < as_of() then kinds([
                case when will_win or will_buy then case when draw(row_no, 'intent') < 0.7 then i.high else i.middle end else case when draw(row_no, 'intent') < 0.25 then i.high when draw(row_no, 'intent') < 0.6 then i.middle else i.low end end,
                case when state like 'fair%' then i.fair end, case when not is_business then i.end_user end]) else [] end,
            'remark_mobiles', case when noted_phone is null then [] else [noted_phone[4:]] end, 'add_way', pick([1, 1, 1, 2, 3, 0], draw(row_no, 'add way')), 'state', state),
        'updated_at', iso(last_of([added_at, tagged_at])))::varchar
from follow_relation as r left join account as a using (account_no) cross join intent_tag as i;
insert into record_row
select 'wecom', 'external_contacts', userid || '/' || external_userid, person_no, null, true, null, kinds([case when not has_unionid or contact_type = 2 then 'no_unionid' end]) from follow_relation;
