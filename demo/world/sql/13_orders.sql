-- Orders of the online shop. Amounts in the currency's smallest unit; times here in UTC, the shop's file has them in Asia/Shanghai.
create table order_fact as
with bought as (
    select d.visit_no, d.person_no, d.day, d.visit_kind,
        coalesce(v.started_at, moment(d.day + (0.05 + 0.5 * draw(d.visit_no, 'hour')))) as started_at,
        case when d.visit_kind = 'mini_purchase' then 'mini_program' when v.is_app then 'app' else 'web' end as channel,
        coalesce(v.product_no, 1 + floor(getvariable('products') * draw(d.visit_no, 'product'))::integer) as product_no,
        p.currency, p.kind, p.repeat_gap, p.register_day is not null and p.register_day <= d.day and coalesce(v.known_from_step, 0) < 99 as is_customer, p.customer_id, p.guest_customer_id
    from visit_due as d left join visit as v using (visit_no) join person as p on p.person_no = d.person_no
    where d.visit_kind in ('purchase', 'mini_purchase')
), timed as (
    select *, started_at + to_seconds(275) as created_at, 1 + floor(2.4 * pow(draw(visit_no, 'lines'), 2))::integer as line_count,
        kind <> 'test' and draw(visit_no, 'uses coupon') < 0.16 as has_coupon,
        draw(visit_no, 'fate') as u_fate
    from bought
), followed as (
    select *, 'LM' || upper(token('order', visit_no, 12)) as order_id,
        case when is_customer then customer_id else guest_customer_id end as buyer_id,
        case when has_coupon then 'CP' || upper(token('coupon', visit_no, 10)) end as coupon_code,
        case when (kind = 'test' and u_fate < 0.9) or u_fate < 0.05 then created_at + interval 26 hours end as cancelled_at,
        case when (kind = 'test' and u_fate < 0.9) or u_fate < 0.05 then null else created_at + to_seconds(60 + floor(600 * draw(visit_no, 'pay'))::bigint) end as paid_at,
        case when (kind = 'test' and u_fate < 0.9) or u_fate < 0.05 then null else created_at + to_seconds(floor(86400 * (0.8 + 2.2 * draw(visit_no, 'ship')))::bigint) end as shipped_at,
        case when kind <> 'test' and u_fate > 0.94 then created_at + to_seconds(floor(86400 * (5 + 9 * draw(visit_no, 'refund')))::bigint) end as refunded_at
    from timed
)
select * exclude (customer_id, guest_customer_id, u_fate) from followed where created_at < as_of()
order by visit_no;

drop table visit_due;

create table order_line_fact as
with lined as (
    select o.*, unnest(range(1, o.line_count + 1))::integer as line_no from order_fact as o
), priced as (
    select l.visit_no, l.order_id, l.line_no, l.currency, l.created_at,
        case when l.line_no = 1 then l.product_no else 1 + floor(getvariable('products') * draw(l.visit_no * 16 + l.line_no, 'line product'))::integer end as product_no,
        1 + floor(2.2 * pow(draw(l.visit_no * 16 + l.line_no, 'quantity'), 4))::integer as quantity
    from lined as l
)
select p.visit_no, p.order_id, p.line_no, p.order_id || '-' || p.line_no as order_line_id, g.sku, g.name as product_name, p.quantity, from_fen(g.price_cents, p.currency) as unit_price_cents,
    p.created_at, p.currency
from priced as p join product as g using (product_no)
order by p.visit_no, p.line_no;

create table order_total as
select l.visit_no, sum(l.quantity * l.unit_price_cents)::bigint as goods_cents,
    case when any_value(o.has_coupon) then floor(sum(l.quantity * l.unit_price_cents) * 0.1)::bigint else 0 end as discount_cents,
    '[' || string_agg('{"product_id":"' || l.sku || '","name":' || to_json(l.product_name)::varchar || ',"quantity":' || l.quantity || ',"price":' || (l.unit_price_cents / minor_units(l.currency))::varchar || '}', ',' order by l.line_no) || ']' as products_json
from order_line_fact as l join order_fact as o using (visit_no)
group by l.visit_no
order by l.visit_no;

create macro shop_time(ts) as strftime(ts + interval 8 hours, '%Y-%m-%d %H:%M:%S');
create macro last_of(times) as list_max(list_filter(times, lambda t: t is not null and t < as_of()));

create table shop_orders as
select o.order_id, o.buyer_id as customer_id, o.channel,
    case when o.refunded_at < as_of() then 'refunded' when o.cancelled_at < as_of() then 'cancelled' when o.shipped_at < as_of() then 'shipped' when o.paid_at < as_of() then 'paid' else 'created' end as status,
    o.currency, t.goods_cents - t.discount_cents as total_cents, t.discount_cents, o.coupon_code,
    shop_time(o.created_at) as created_at, case when o.paid_at < as_of() then shop_time(o.paid_at) end as paid_at, case when o.shipped_at < as_of() then shop_time(o.shipped_at) end as shipped_at,
    shop_time(last_of([o.created_at, o.paid_at, o.shipped_at, o.cancelled_at, o.refunded_at])) as updated_at
from order_fact as o join order_total as t using (visit_no)
order by order_id;

create table shop_order_lines as
select order_line_id, order_id, line_no, sku, product_name, quantity, unit_price_cents, shop_time(created_at) as updated_at from order_line_fact order by order_line_id;

create table shop_refunds as
select 'RF' || upper(token('refund', o.visit_no, 10)) as refund_id, o.order_id,
    case when draw(o.visit_no, 'whole refund') < 0.7 then t.goods_cents - t.discount_cents else ((t.goods_cents - t.discount_cents) * 0.5)::bigint end as amount_cents, o.currency,
    pick(['broken', 'not as described', '不喜欢', 'too late', null], draw(o.visit_no, 'refund reason')) as reason, shop_time(o.refunded_at) as created_at, shop_time(o.refunded_at) as updated_at
from order_fact as o join order_total as t using (visit_no)
where o.refunded_at < as_of()
order by refund_id;

-- A customer is created by registering; whoever buys without signing in becomes a guest customer, also when they are registered.
create table customer_fact as
with registered as (
    select v.person_no, p.customer_id, false as is_guest, v.started_at + to_seconds(85) as created_at
    from visit as v join person as p on p.person_no = v.person_no
    where v.visit_kind = 'signup'
), guest as (
    select person_no, buyer_id as customer_id, true as is_guest, min(created_at) as created_at from order_fact where not is_customer group by all
)
select c.*, c.person_no::bigint * 2 + c.is_guest::integer as customer_no, p.* exclude (person_no, customer_id),
    -- the card is linked in the account, and a new number is entered there, by some
    case when not c.is_guest and p.card_day is not null and draw(c.person_no, 'links card') < 0.7 then greatest(c.created_at + interval 1 hour, moment(p.card_day + 0.5 + 6 * draw(c.person_no, 'link day'))) end as linked_at,
    case when not c.is_guest and p.phone_until_day is not null and draw(c.person_no, 'tells new phone') < 0.6 then greatest(c.created_at + interval 2 hours, moment(p.phone_until_day + 2.4)) end as phone_changed_at
from (from registered union all from guest) as c join person as p using (person_no)
where c.created_at < as_of();

create table shop_customers as
select customer_id, case when not is_guest then user_id end as user_id,
    case when is_guest and draw(customer_no, 'guest without mail') < 0.25 and phone is not null then null else written_email(email, customer_no) end as email,
    case when draw(customer_no, 'without phone') < 0.12 and email is not null then case when draw(customer_no, 'without phone') < 0.03 then '' end
        else written_phone(case when phone_changed_at < as_of() then next_phone else phone_on(phone, phone_until_day, next_phone, day_of(created_at)) end, customer_no) end as phone,
    given_name as first_name, family_name as last_name, case when linked_at < as_of() then card_no end as loyalty_card_no, country, is_guest::integer as is_guest,
    shop_time(created_at) as created_at, shop_time(last_of([created_at, linked_at, phone_changed_at])) as updated_at
from customer_fact
order by customer_id;

insert into record_row
select 'shop', 'customers', customer_id, person_no, null, true, null, kinds([email_form(email, customer_no), phone_form(phone, customer_no), case when has_family_email then 'family_email' end]) from customer_fact
union all select 'shop', 'orders', order_id, person_no, null, true, null, [] from order_fact
union all select 'shop', 'order_lines', l.order_line_id, o.person_no, null, true, null, [] from order_line_fact as l join order_fact as o using (visit_no)
union all select 'shop', 'refunds', r.refund_id, o.person_no, null, true, null, [] from shop_refunds as r join order_fact as o using (order_id);

insert into typo_email select person_no, mistyped_domain(email), created_at from customer_fact where email_form(email, customer_no) = 'email_typo';
