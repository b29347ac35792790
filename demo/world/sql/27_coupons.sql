-- Coupons: issued, claimed, redeemed. One that is redeemed was issued and claimed on the same day, so that no later day reaches back.
create table coupon_event as
with redeemed as (
    select o.visit_no, o.person_no, o.coupon_code, o.order_id, o.day, o.created_at, t.discount_cents as value_cents, o.currency, 'basket-rescue' as campaign
    from order_fact as o join order_total as t using (visit_no) where o.coupon_code is not null
), given as (
    select p.person_no::bigint * 8192 + 8191 as visit_no, p.person_no, 'CP' || upper(token('gift', p.person_no, 10)) as coupon_code, moment(p.arrival_day + 1 + 8 * draw(p.person_no, 'gift day')) as issued_at,
        from_fen(2000, p.currency) as value_cents, p.currency
    from person as p where p.is_consumer and p.kind <> 'test' and draw(p.person_no, 'gets gift') < 0.25
), events as (
    select visit_no * 4 as row_no, person_no, visit_no, 'issued' as event, coupon_code, campaign, value_cents, currency, null as order_id, moment(day) + (created_at - moment(day)) * 0.5 as occurred_at from redeemed
    union all select visit_no * 4 + 1, person_no, visit_no, 'claimed', coupon_code, campaign, value_cents, currency, null, moment(day) + (created_at - moment(day)) * 0.9 from redeemed
    union all select visit_no * 4 + 2, person_no, visit_no, 'redeemed', coupon_code, campaign, value_cents, currency, order_id, created_at from redeemed
    union all select visit_no * 4, person_no, visit_no, 'issued', coupon_code, 'welcome', value_cents, currency, null, issued_at from given
    union all select visit_no * 4 + 1, person_no, visit_no, 'claimed', coupon_code, 'welcome', value_cents, currency, null, issued_at + to_seconds(floor(3 * 86400 * draw(visit_no, 'claimed after'))::bigint) from given where draw(visit_no, 'claims') < 0.35
)
select e.*, p.* exclude (person_no),
    case when p.mini_at is not null and moment(p.mini_at) <= occurred_at and draw(e.visit_no, 'coupon by') < 0.4 then 'openid' when p.register_day is not null and p.register_day < day_of(occurred_at) then 'user_id' when p.phone is not null then 'phone' end as holder
from events as e join person as p using (person_no);

create table coupon_rows as
select row_no, occurred_at as happened_at, coupon_code || '/' || event as record_key, person_no,
    concat_ws(',', event, coupon_code, campaign, case when holder = 'user_id' then user_id else '' end,
        case when holder = 'phone' then written_phone(phone_on(phone, phone_until_day, next_phone, day_of(occurred_at)), row_no) else '' end,
        case when holder = 'openid' then mini_openid else '' end, value_cents, currency, coalesce(order_id, ''), iso(occurred_at)) as line,
    '' as tail, kinds([case when holder = 'phone' then phone_form(phone_on(phone, phone_until_day, next_phone, day_of(occurred_at)), row_no) end]) as mess
from coupon_event
where holder is not null;

create table coupons_filed as from filed('coupon_rows', 'coupons/coupons', false);
insert into text_row select file, file_day, position, line from coupons_filed;
insert into record_row select 'coupons', 'coupons', record_key, person_no, file_day, is_readable, reason, mess from coupons_filed;
