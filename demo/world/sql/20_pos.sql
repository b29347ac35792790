-- Receipts of the shops, one row per line of a receipt. Most buyers show their card or tell a phone number; some do neither.
create table receipt as
with due as (
    select p.*, unnest(range(p.store_day, getvariable('days')::bigint, p.repeat_gap))::integer as day
    from person as p
    where p.store_day < getvariable('days')
), placed as (
    select d.*, d.person_no::bigint * 4096 + d.day as receipt_key, s.store, s.time_zone, s.utc_offset as store_offset, s.currency as store_currency,
        case when d.card_day <= d.day then draw(d.person_no::bigint * 4096 + d.day, 'shows') else 0.8 + draw(d.person_no::bigint * 4096 + d.day, 'shows') * 0.25 end as u_shows
    from due as d
    join (select *, row_number() over (partition by country order by store_no) - 1 as nth, count(*) over (partition by country) as of_country from store) as s
        on s.country = d.country and s.nth = (d.code + (draw(d.person_no::bigint * 4096 + d.day, 'other store') < 0.1)::integer) % s.of_country
)
select receipt_key, person_no, 'R' || upper(token('receipt', receipt_key, 11)) as receipt_no, store, time_zone, store_offset, store_currency, day,
    -- open from 10 to 21 local time; kept within the day of UTC it belongs to
    moment(day + (10 + 11 * draw(receipt_key, 'hour') - store_offset) / 24) as sold_at,
    case when u_shows < 0.80 and card_day <= day then card_no end as card_no,
    case when u_shows between 0.62 and 0.95 then phone_on(phone, phone_until_day, next_phone, day) end as phone,
    1 + floor(2.2 * pow(draw(receipt_key, 'lines'), 2))::integer as line_count
from placed
order by receipt_key;

create table receipt_rows as
with lined as (
    select r.*, unnest(range(1, r.line_count + 1))::integer as line_no from receipt as r
), priced as (
    select l.*, l.receipt_key * 4 + l.line_no as row_no, 1 + floor(2.2 * pow(draw(l.receipt_key * 4 + l.line_no, 'quantity'), 4))::integer as qty,
        1 + floor(getvariable('products') * draw(l.receipt_key * 4 + l.line_no, 'product'))::integer as product_no
    from lined as l
)
select p.row_no, p.sold_at as happened_at, p.receipt_no as record_key, p.person_no,
    concat_ws(';', p.receipt_no, p.line_no, p.store, p.time_zone,
        case when p.store_offset = 8 then strftime(p.sold_at + interval 8 hours, '%Y/%m/%d %H:%M:%S')
            else strftime(p.sold_at + to_hours(local_offset(p.store_offset, true, p.sold_at)), '%d.%m.%Y %H:%M:%S') end,
        coalesce(p.card_no, ''), coalesce(written_phone(p.phone, p.receipt_key), ''), g.sku, p.qty,
        replace(printf('%.2f', p.qty * from_fen(g.price_cents, p.store_currency) / 100.0), '.', ','), p.store_currency) as line,
    '' as tail, kinds([phone_form(p.phone, p.receipt_key)]) as mess
from priced as p join product as g using (product_no);

create table pos_filed as from filed('receipt_rows', 'pos/receipts', false);
insert into text_row select file, file_day, position, line from pos_filed;
insert into record_row select 'pos', 'receipts', record_key, person_no, file_day, is_readable, reason, mess from pos_filed;
