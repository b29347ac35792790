-- One row per visit of the website or the app: when, on which device, why. A visit's number is person * 8192 + day * 2 + slot, so a
-- later day never changes an earlier one (worlds are limited to 4,096 days).
-- (A table of its own, because DuckDB works in parallel on tables of over 122,880 rows only.)
create table person_day as
select person_no, unnest(range(arrival_day, getvariable('days')::bigint))::integer as day from person where arrival_day < getvariable('days');

create table visit_due as
with weighed as (
    select d.day, p.person_no, p.kind, p.arrival_day, p.register_day, p.whitepaper_day, p.contact_day, p.will_buy, p.will_win, p.mini_at,
        online_day is not null and day >= online_day and (day - online_day) % repeat_gap = 0 as is_purchase_day,
        visit_chance * case
            when will_buy and day between buy_day - 12 and buy_day then 3.0
            when will_win and day between floor(closed_at) - 30 and floor(closed_at) then 3.0
            else 1.0 end as chance
    from person_day as d join person as p using (person_no)
), certain as (
    select *, person_no::bigint * 8192 + day * 2 as first_no,
        coalesce(day = arrival_day or day = register_day or day = whitepaper_day or day = contact_day or is_purchase_day, false) as is_certain
    from weighed
), due as (
    select *, draw(first_no, 'visit') < chance as is_drawn from certain where is_certain or draw(first_no, 'visit') < chance
), chosen as (
    select *, 0 as slot, first_no as visit_no from due
    union all
    -- again on the same day; who registers and buys on one day buys in the second visit
    select *, 1 as slot, first_no + 1 as visit_no from due where (is_drawn and draw(first_no + 1, 'again') < 0.12) or (is_purchase_day and day = register_day)
)
select visit_no, person_no, day, slot,
    case
        when kind = 'bot' then 'bot'
        when slot = 0 and day = register_day then 'signup'
        when slot = case when day = register_day then 1 else 0 end and is_purchase_day then
            case when mini_at < day and draw(visit_no, 'buys in mini program') < 0.4 then 'mini_purchase' else 'purchase' end
        when slot = 0 and day = contact_day then 'contact'
        when slot = 0 and day = whitepaper_day then 'whitepaper'
        when kind = 'business' or (kind = 'both' and draw(visit_no, 'hat') < 0.45) then case
            when draw(visit_no, 'purpose') < case when will_win then 0.38 else 0.12 end then 'pricing'
            when draw(visit_no, 'purpose') < 0.85 then 'content'
            else 'browse' end
        else case
            when draw(visit_no, 'purpose') < case when will_buy then 0.30 else 0.10 end then 'cart'
            when draw(visit_no, 'purpose') < 0.55 then 'search'
            when draw(visit_no, 'purpose') < 0.65 and register_day < day then 'account'
            when draw(visit_no, 'purpose') < 0.69 then 'help'
            else 'browse' end
    end as visit_kind
from chosen;

drop table person_day;

create table visit as
with channelled as (
    select v.*, p.has_app and v.visit_kind in ('browse', 'search', 'cart', 'purchase', 'account', 'signup') and draw(v.visit_no, 'channel') < 0.55 as is_app,
        p.head_no, p.shares_device, p.has_desktop, p.register_day, p.utc_offset, p.kind, p.is_business,
        -- visits of the second slot are in the evening
        (case when v.slot = 0 then 8 + 10 * draw(v.visit_no, 'hour') else 18.5 + 4 * draw(v.visit_no, 'hour') end - p.utc_offset + 24) as hour_utc
    from visit_due as v join person as p using (person_no)
    where v.visit_kind <> 'mini_purchase' -- leaves an order but no trace on the website
), deviced as (
    select *,
        case when is_app then 0 when has_desktop and draw(visit_no, 'desktop') < case when is_business then 0.85 else 0.5 end then 2
            when shares_device and draw(visit_no, 'desktop') < 0.5 then 2 else 1 end as device_no,
        register_day is not null and (register_day < day or (register_day = day and slot = 1)) as is_registered
    from channelled
), owned as (
    select *, case when device_no = 2 and shares_device then head_no else person_no end as device_owner_no
    from deviced
), cookied as (
    select *,
        case when kind = 'bot' then day
            -- three devices of ten delete their cookies every 10 to 40 days
            when device_no > 0 and draw(device_owner_no::bigint * 4 + device_no, 'rotates') < 0.3
                then ((day + draw(device_owner_no::bigint * 4 + device_no, 'rotation start') * 40) // (10 + floor(30 * draw(device_owner_no::bigint * 4 + device_no, 'rotation'))))::integer
            else 0 end as cookie_no,
        is_registered and (visit_kind = 'account' or draw(visit_no, 'logged in') < case when is_app then 0.95 when visit_kind = 'purchase' then 0.85 else 0.5 end) as is_logged_in
    from owned
), sourced as (
    select c.*,
        case when not is_app and kind <> 'bot' and draw(visit_no, 'campaign') < case when day = (select p.arrival_day from person as p where p.person_no = c.person_no) then 0.6 else 0.12 end
            then floor(draw(visit_no, 'which campaign') * 1000)::integer end as campaign_draw
    from cookied as c
)
select
    s.visit_no, s.person_no, s.day, s.slot, s.visit_kind, s.is_app, s.device_no, s.device_owner_no, s.cookie_no,
    uuid_text('anonymous', concat_ws('/', s.device_owner_no, s.device_no, s.cookie_no)) as anonymous_id,
    moment(s.day + (s.hour_utc - 24 * floor(s.hour_utc / 24)) / 24) as started_at,
    -- the step from which on the visitor is known: 0 from the start, 2 after signing in or up, 99 never
    case when s.visit_kind = 'signup' then 2 when not s.is_logged_in then 99 when s.visit_kind = 'account' or draw(s.visit_no, 'signs in') < 0.3 then 2 else 0 end as known_from_step,
    c.campaign_no,
    case when c.is_paid then
        case c.platform when 'google' then 'Cj0KCQ' || token('click', s.visit_no, 22) when 'meta' then 'IwAR' || token('click', s.visit_no, 20) else token('click', s.visit_no, 26) end end as click_id,
    1 + floor(getvariable('products') * pow(draw(s.visit_no, 'product'), 1.4))::integer as product_no,
    s.kind as person_kind, s.is_business
from sourced as s
left join (
    select *, row_number() over (partition by audience order by campaign_no) - 1 as nth, count(*) over (partition by audience) as of_audience from campaign
) as c on c.audience = case when s.is_business and s.visit_kind in ('pricing', 'content', 'contact', 'whitepaper') then 'business' else 'consumer' end
    and c.nth = s.campaign_draw % c.of_audience and s.campaign_draw is not null
order by s.visit_no;
