-- The text of the events of some days: a table macro that the driver calls for a few days at a time, so that the text of a whole
-- world is never in memory at once. Fields and their meaning follow the Segment spec (segment.com/docs/connections/spec/common).
-- concat(...) and not ||, which copies the growing text once per piece (measured: half the time of the whole macro).

-- How a product stands in events: `known` as usual, `as_text` from a client that sends the price as text, `unknown` from one without a price.
create table product_text as
select g.product_no, c.currency, lower(g.sku) as page, replace(g.category, ' ', '-') as category_page, g.category, price,
    head || price || tail as known, head || '"' || price || '"' || tail as as_text, head || 'null' || tail as unknown
from (
    select product_no, currency, (from_fen(price_cents, currency) / minor_units(currency))::varchar as price,
        '{"product_id":"' || sku || '","name":' || to_json(name)::varchar || ',"category":"' || category || '","price":' as head, ',"currency":"' || currency || '","quantity":1}' as tail
    from product cross join (select distinct currency from country)
) as c join product as g using (product_no);

create table order_json as
select o.visit_no, o.day, '{"order_id":"' || o.order_id || '","total":' || ((t.goods_cents - t.discount_cents) / minor_units(o.currency))::varchar || ',"revenue":' || ((t.goods_cents - t.discount_cents) / minor_units(o.currency))::varchar
    || ',"currency":"' || o.currency || '","coupon":' || json_or_null(o.coupon_code) || ',"products":' || t.products_json || '}' as properties
from order_fact as o join order_total as t using (visit_no)
order by o.visit_no;

create macro event_lines(for_app, from_day, to_day) as table
with arrived as (
    select * from event where is_app = for_app and file_day between from_day and to_day
), visited as (
    -- a visit is about one product; the second and third look is at another one
    select e.*, v.* exclude (visit_no, day, is_app),
        (case when e.step in (6, 8) and e.event = 'Product Viewed' then 1 + (v.product_no + e.step) % getvariable('products') else v.product_no end)::bigint as shown_product_no
    from arrived as e join (select * from visit_text where day between from_day - 8 and to_day) as v using (visit_no)
), joined as (
    select e.*, g.known, g.as_text, g.unknown, g.price, g.category, t.title,
        case e.path when '/p' then concat('/p/', g.page) when '/c' then concat('/c/', g.category_page) else e.path end as full_path,
        o.properties as order_properties, r.email, r.phone, r.is_null_written, r.given_name, r.family_name, r.full_name, r.company, r.account_id, r.at_work, r.visit_kind
    from visited as e
    join product_text as g on g.product_no = e.shown_product_no and g.currency = e.currency
    left join page_title as t on t.name = e.page
    left join (select * from order_json where day between from_day - 8 and to_day) as o on o.visit_no = e.visit_no and e.event = 'Order Completed'
    left join (select * from self_report where day between from_day - 8 and to_day) as r on r.event_no = e.event_no
), said as (
    select *,
        case
            when event in ('Product Viewed', 'Product Added', 'Product Removed') then
                case when draw(event_no, 'price form') < 0.005 then as_text when draw(event_no, 'price form') < 0.01 then unknown else known end
            when call = 'page' and draw(event_no, 'no properties') < 0.004 then 'null'
            when call = 'page' and is_app then concat('{"path":"', full_path, '"}')
            when call = 'page' then concat('{"path":"', full_path, '","url":"https://www.lumen.example', full_path, case when step = 0 then landing_query end, '","title":"', title, '","referrer":"', case when step = 0 then referrer else 'https://www.lumen.example/' end, '"}')
            when event = 'Product List Viewed' then concat('{"category":"', category, '","list_id":"', replace(category, ' ', '-'), '"}')
            when event = 'Products Searched' then concat('{"query":"', pick(['台灯', 'desk lamp', '护眼', 'lampe', 'smart bulb', '落地灯 北欧', 'Stehlampe', '🌙', '', 'E27', 'ランプ'], draw(event_no, 'query')), '"}')
            when event = 'Checkout Started' then concat('{"value":', price, ',"currency":"', currency, '"}')
            when event = 'Order Completed' then order_properties
            when event = 'Form Submitted' then concat('{"form_id":"', case when visit_kind = 'contact' then 'contact-sales' else 'whitepaper-1' end, '","form_name":"', case when visit_kind = 'contact' then 'Talk to us' else 'Whitepaper' end,
                '","email":', json_or_null(email), ',"phone":', json_or_null(phone), ',"company":', json_or_null(company), '}')
            when event = 'Whitepaper Downloaded' then '{"whitepaper":"light-and-work"}'
            when event = 'Video Played' then concat('{"title":"How we make light","position":', floor(120 * draw(event_no, 'position'))::integer, '}')
            when event in ('Signed Up', 'Signed In') then concat('{"method":"', pick(['email', 'phone', 'wechat'], draw(event_no, 'method')), '"}')
            when event = 'Application Opened' then '{"from_background":false}'
        end as properties_text,
        case call
            when 'identify' then concat(',"traits":{"email":', json_or_null(email),
                case when phone is not null then concat(',"phone":', to_json(phone)) when is_null_written then ',"phone":null' end,
                ',"firstName":', to_json(given_name), ',"lastName":', to_json(family_name), ',"name":', to_json(full_name), case when at_work then concat(',"company":', json_or_null(company)) end, '}')
            when 'group' then concat(',"groupId":', json_or_null(account_id), ',"traits":{"name":', json_or_null(company), '}')
        end as traits_text,
        iso_ms(occurred_at) as occurred_text, iso_ms(received_at) as received_text
    from joined
), written as (
    select file_day, received_at, event_no, copy_no, is_torn,
        concat('{"type":"', case when call = 'page' and is_app then 'screen' else call end, '","messageId":"', uuid_text('message', event_no),
            case when event = 'Order Completed' and known_from_step < 99 and draw(event_no, 'from server') < 0.1 then '","anonymousId":null' else concat('","anonymousId":"', anonymous_id, '"') end,
            case when step >= known_from_step then concat(',"userId":"', user_id, '"') when draw(event_no, 'empty user') < 0.02 then ',"userId":""' end,
            case when event is not null then concat(',"event":"', event, '"') when page is not null then concat(',"name":"', page, '"') end,
            case when properties_text is not null then ',"properties":' end, properties_text, traits_text, context_head,
            case when not is_app and full_path is not null then concat(',"page":{"path":"', full_path, '","url":"https://www.lumen.example', full_path, case when step = 0 then landing_query end, '","referrer":"', case when step = 0 then referrer end, '"}') end,
            case when step = 0 then campaign_text end,
            '},"originalTimestamp":"', case when skew_ms = 0 then occurred_text else iso_ms(occurred_at + to_milliseconds(skew_ms)) end,
            '","sentAt":"', iso_ms(received_at - interval 120 milliseconds + to_milliseconds(skew_ms)), '","receivedAt":"', received_text, '","timestamp":"', occurred_text, '"}') as line
    from said
)
select file_day, case when is_torn then line[1:len(line) // 2] else line end as line
from written
order by file_day, received_at, event_no, copy_no;
