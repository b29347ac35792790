-- The text of the events of some days: a table macro that the driver calls for a few days at a time, so that the text of a whole
-- world is never in memory at once. Fields and their meaning follow the Segment spec (segment.com/docs/connections/spec/common).
create macro product_json(j_sku, j_name, j_category, j_price, j_currency, event_no) as
    '{"product_id":"' || j_sku || '","name":' || to_json(j_name)::varchar || ',"category":"' || j_category || '","price":'
    -- a client that sends the price as text, one that does not know it
    || case when draw(event_no, 'price form') < 0.005 then '"' || j_price || '"' when draw(event_no, 'price form') < 0.01 then 'null' else j_price end
    || ',"currency":"' || j_currency || '","quantity":1}';

create table order_json as
select o.visit_no, o.day, '{"order_id":"' || o.order_id || '","total":' || ((t.goods_cents - t.discount_cents) / minor_units(o.currency))::varchar || ',"revenue":' || ((t.goods_cents - t.discount_cents) / minor_units(o.currency))::varchar
    || ',"currency":"' || o.currency || '","coupon":' || json_or_null(o.coupon_code) || ',"products":' || t.products_json || '}' as properties
from order_fact as o join order_total as t using (visit_no)
order by o.visit_no;

create macro event_lines(for_app, from_day, to_day) as table
with arrived as (
    select * from event where is_app = for_app and file_day between from_day and to_day
), joined as (
    select e.*, v.* exclude (visit_no, day, is_app, product_no), g.sku, g.name as product_name, g.category, t.title,
        (from_fen(g.price_cents, v.currency) / minor_units(v.currency))::varchar as price,
        case e.path when '/p' then '/p/' || lower(g.sku) when '/c' then '/c/' || replace(g.category, ' ', '-') else e.path end as full_path,
        o.properties as order_properties, r.email, r.phone, r.is_null_written, r.given_name, r.family_name, r.full_name, r.company, r.account_id, r.at_work, r.visit_kind
    from arrived as e
    join (select * from visit_text where day between from_day - 8 and to_day) as v using (visit_no)
    -- a visit is about one product; the second and third look is at another one
    join product as g on g.product_no = case when e.step in (6, 8) and e.event = 'Product Viewed' then 1 + (v.product_no + e.step) % (select count(*) from product) else v.product_no end
    left join page_title as t on t.name = e.page
    left join (select * from order_json where day between from_day - 8 and to_day) as o on o.visit_no = e.visit_no and e.event = 'Order Completed'
    left join (select * exclude (user_id) from self_report where day between from_day - 8 and to_day) as r on r.event_no = e.event_no
), said as (
    select *,
        case
            when call = 'group' or call = 'identify' then ''
            when draw(event_no, 'no properties') < 0.004 and event is null then ',"properties":null'
            else ',"properties":' || case
                when call = 'page' and is_app then '{"path":"' || full_path || '"}'
                when call = 'page' then '{"path":"' || full_path || '","url":"https://www.lumen.example' || full_path || case when step = 0 then landing_query else '' end || '","title":"' || title || '","referrer":"' || case when step = 0 then referrer else 'https://www.lumen.example/' end || '"}'
                when event in ('Product Viewed', 'Product Added', 'Product Removed') then product_json(sku, product_name, category, price, currency, event_no)
                when event = 'Product List Viewed' then '{"category":"' || category || '","list_id":"' || replace(category, ' ', '-') || '"}'
                when event = 'Products Searched' then '{"query":"' || pick(['台灯', 'desk lamp', '护眼', 'lampe', 'smart bulb', '落地灯 北欧', 'Stehlampe', '🌙', '', 'E27', 'ランプ'], draw(event_no, 'query')) || '"}'
                when event = 'Checkout Started' then '{"value":' || price || ',"currency":"' || currency || '"}'
                when event = 'Order Completed' then coalesce(order_properties, '{}')
                when event = 'Form Submitted' then '{"form_id":"' || case when visit_kind = 'contact' then 'contact-sales' else 'whitepaper-1' end || '","form_name":"' || case when visit_kind = 'contact' then 'Talk to us' else 'Whitepaper' end
                    || '","email":' || json_or_null(email) || ',"phone":' || json_or_null(phone) || ',"company":' || json_or_null(company) || '}'
                when event = 'Whitepaper Downloaded' then '{"whitepaper":"light-and-work"}'
                when event = 'Video Played' then '{"title":"How we make light","position":' || floor(120 * draw(event_no, 'position'))::integer || '}'
                when event in ('Signed Up', 'Signed In') then '{"method":"' || pick(['email', 'phone', 'wechat'], draw(event_no, 'method')) || '"}'
                else '{}' end
        end as properties_text,
        case call
            when 'identify' then ',"traits":{"email":' || json_or_null(email)
                || case when phone is not null then ',"phone":' || to_json(phone)::varchar when is_null_written then ',"phone":null' else '' end
                || ',"firstName":' || to_json(given_name)::varchar || ',"lastName":' || to_json(family_name)::varchar || ',"name":' || to_json(full_name)::varchar
                || case when at_work then ',"company":' || json_or_null(company) else '' end || '}'
            when 'group' then ',"groupId":' || json_or_null(account_id) || ',"traits":{"name":' || json_or_null(company) || '}'
            else '' end as traits_text
    from joined
), written as (
    select file_day, received_at, event_no, copy_no, is_torn,
        '{"type":"' || case when call = 'page' and is_app then 'screen' else call end || '","messageId":"' || uuid_text('message', event_no)
        || '","anonymousId":' || case when event = 'Order Completed' and known_from_step < 99 and draw(event_no, 'from server') < 0.1 then 'null' else '"' || anonymous_id || '"' end
        || case when step >= known_from_step then ',"userId":"' || user_id || '"' when draw(event_no, 'empty user') < 0.02 then ',"userId":""' else '' end
        || case when event is not null then ',"event":"' || event || '"' when page is not null then ',"name":"' || page || '"' else '' end
        || properties_text || traits_text || context_head
        || case when is_app or full_path is null then '' else ',"page":{"path":"' || full_path || '","url":"https://www.lumen.example' || full_path || case when step = 0 then landing_query else '' end || '","referrer":"' || case when step = 0 then referrer else '' end || '"}' end
        || case when step = 0 then campaign_text else '' end
        || '},"originalTimestamp":"' || iso_ms(occurred_at + to_milliseconds(skew_ms)) || '","sentAt":"' || iso_ms(received_at - interval 120 milliseconds + to_milliseconds(skew_ms))
        || '","receivedAt":"' || iso_ms(received_at) || '","timestamp":"' || iso_ms(occurred_at) || '"}' as line
    from said
)
select file_day, case when is_torn then line[1:len(line) // 2] else line end as line
from written
order by file_day, received_at, event_no, copy_no;
