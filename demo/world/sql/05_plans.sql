-- One row per person: what they will do and from which day (days since the start; null: never).
-- Buyers and winners differ from the others in many small ways, so that a score has something to learn.
create table plan as
with willing as (
    select person_no, arrival_day, kind, country, is_business, is_consumer,
        is_consumer and draw(person_no, 'buys') < case kind when 'both' then 0.45 when 'test' then 0.5 else 0.3 end as will_buy,
        is_business and draw(person_no, 'is lead') < 0.6 as is_lead,
        draw(person_no, 'wins') as u_win
    from person_drawn
), timed as (
    select *,
        is_lead and u_win < 0.22 as will_win,
        case when will_buy then arrival_day + floor(30 * pow(draw(person_no, 'buy day'), 1.6))::integer end as buy_day,
        case when will_buy then 12 + floor(60 * draw(person_no, 'repeat gap'))::integer end as repeat_gap,
        case when not will_buy then null
            when country not in ('CN', 'DE', 'FR') or kind = 'test' or draw(person_no, 'buy where') < 0.55 then 'online'
            when draw(person_no, 'buy where') < 0.8 then 'store' else 'both' end as buy_channel,
        case when is_lead then arrival_day + 15 * pow(draw(person_no, 'lead day'), 1.5) + draw(person_no, 'lead hour') * 0.4 + 0.2 end as lead_at,
        -- how far a lead that does not win gets: 1 lead, 2 MQL, 3 SQL, 4 opportunity, 5 proof of concept
        case when is_lead and u_win >= 0.22 then
            case when draw(person_no, 'depth') < 0.45 then 1 when draw(person_no, 'depth') < 0.7 then 2 when draw(person_no, 'depth') < 0.84 then 3
                when draw(person_no, 'depth') < 0.93 then 4 else 5 end
            when is_lead then 6 end as depth
    from willing
), staged as (
    select *,
        case when depth >= 2 then lead_at + 0.5 + 6 * draw(person_no, 'to mql') end as mql_at,
        case when depth >= 3 then lead_at + 7 + 8 * draw(person_no, 'to sql') end as sql_at,
        case when depth >= 4 then lead_at + 15.5 + 8 * draw(person_no, 'to opportunity') end as opportunity_at,
        case when depth >= 5 then lead_at + 24 + 10 * draw(person_no, 'to proof') end as proof_at,
        case when depth >= 4 then lead_at + 35 + 18 * draw(person_no, 'to close') end as closed_at
    from timed
)
select *,
    case
        when kind = 'bot' then null
        when will_buy and buy_channel <> 'store' and draw(person_no, 'registers') < 0.88 then least(buy_day, arrival_day + floor(8 * pow(draw(person_no, 'register day'), 2))::integer)
        when draw(person_no, 'registers') < case when is_consumer then 0.45 else 0.35 end then arrival_day + floor(20 * pow(draw(person_no, 'register day'), 2))::integer
    end as register_day,
    case when buy_channel = 'store' then buy_day when buy_channel = 'both' then buy_day + 6 end as store_day,
    case when buy_channel in ('online', 'both') then buy_day end as online_day,
    is_consumer and draw(person_no, 'has app') < case when will_buy then 0.45 else 0.25 end as has_app,
    draw(person_no, 'has desktop') < case when is_business then 0.9 else 0.45 end as has_desktop,
    case when country = 'CN' and kind <> 'bot' and draw(person_no, 'follows') < case when will_buy or will_win then 0.75 else 0.5 end
        then arrival_day + 20 * pow(draw(person_no, 'follow day'), 2) + draw(person_no, 'follow hour') end as follow_at,
    case when country = 'CN' and is_consumer and draw(person_no, 'mini program') < case when will_buy then 0.6 else 0.35 end
        then arrival_day + 15 * pow(draw(person_no, 'mini day'), 2) + draw(person_no, 'mini hour') end as mini_at,
    case when country = 'CN' and kind <> 'bot' and draw(person_no, 'wecom') < case when will_win then 0.8 when is_lead then 0.45 when will_buy then 0.2 else 0.04 end
        then arrival_day + 1 + 20 * draw(person_no, 'wecom day') end as wecom_at,
    case when is_business and draw(person_no, 'whitepaper') < case when will_win then 0.7 else 0.25 end then arrival_day + floor(12 * draw(person_no, 'whitepaper day'))::integer end as whitepaper_day,
    case when is_lead and draw(person_no, 'lead source') < 0.5 then floor(lead_at)::integer end as contact_day,
    -- chance of a visit on a day, before the boost of the weeks ahead of a purchase
    case when kind = 'bot' then 0.25
        else (case when draw(person_no, 'activity') < 0.10 then 0.20 when draw(person_no, 'activity') < 0.40 then 0.065 else 0.022 end)
            * case when will_buy or will_win then 1.6 else 1 end
    end as visit_chance
from staged
order by person_no;
