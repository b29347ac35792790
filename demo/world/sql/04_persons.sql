-- One row per person: who they are and what they will do. Nothing here depends on the number of days written so far.
create table person_drawn as
with rolled as (
    select i::integer as person_no, draw(i, 'kind') as u_kind, draw(i, 'household') as u_household
    from range(1, (select persons from arguments) + 1) as r(i)
), typed as (
    select person_no, u_household,
        case when u_kind < 0.70 then 'consumer' when u_kind < 0.90 then 'business' when u_kind < 0.98 then 'both' when u_kind < 0.99 then 'test' else 'bot' end as kind
    from rolled
), housed as (
    -- a household is a consumer and the next one, who was drawn to live there
    select m.person_no, m.kind, case when m.kind = 'consumer' and m.u_household < 0.14 and h.kind = 'consumer' and h.u_household >= 0.14 then h.person_no end as head_no
    from typed as m left join typed as h on h.person_no = m.person_no - 1
), placed as (
    select h.*, kind in ('business', 'both') as is_business, kind in ('consumer', 'both', 'test') as is_consumer,
        case when kind in ('business', 'both') then 1 + floor(getvariable('accounts') * pow(draw(person_no, 'account'), 1.7))::integer end as account_no,
        coalesce(head_no, person_no) as family_no,
        (person_no::bigint * 48271) % 16777213 as code, -- prime modulus: one to one below 16.7 M persons
        floor(getvariable('horizon') * pow(draw(person_no, 'arrival'), 1.25) * (draw(person_no, 'arrived before') >= 0.1)::integer)::integer as arrival_day
    from housed as h
), located as (
    select p.*, coalesce(a.country, drawn_country(draw(p.family_no, 'country'))) as country
    from placed as p left join account as a using (account_no)
), named as (
    select l.*,
        case country
            when 'CN' then pick(getvariable('family_cn'), draw(family_no, 'family'))
            when 'JP' then pick(getvariable('family_jp'), draw(family_no, 'family'))
            when 'DE' then list_value(pick(getvariable('family_de'), draw(family_no, 'family')))
            when 'FR' then list_value(pick(getvariable('family_fr'), draw(family_no, 'family')))
            else list_value(pick(getvariable('family_en'), draw(family_no, 'family')))
        end as family,
        case country
            when 'CN' then pick(getvariable('given_cn'), draw(person_no, 'given'))
            when 'JP' then pick(getvariable('given_jp'), draw(person_no, 'given'))
            when 'DE' then list_value(pick(getvariable('given_de'), draw(person_no, 'given')))
            when 'FR' then list_value(pick(getvariable('given_fr'), draw(person_no, 'given')))
            else list_value(pick(getvariable('given_en'), draw(person_no, 'given')))
        end as given
    from located as l
)
select
    n.person_no, n.kind, n.is_business, n.is_consumer, n.account_no, n.head_no, n.code, n.arrival_day, n.country,
    c.utc_offset, c.locale, c.time_zone, c.currency, pick(c.cities, draw(n.family_no, 'city')) as city,
    case when kind = 'test' then 'Test' else family[1] end as family_name,
    case when kind = 'test' then pick(['Tester', 'QA', 'Demo'], draw(n.person_no, 'test name')) else given[1] end as given_name,
    plain_letters(family[len(family)]) as family_letters,
    plain_letters(given[len(given)]) as given_letters,
    n.country in ('CN', 'JP') and kind <> 'test' as is_family_first,
    pick(getvariable('nickname_parts'), draw(n.person_no, 'nickname')) || pick(getvariable('nickname_ends'), draw(n.person_no, 'nickname end')) as nickname,
    1 + floor(2 * draw(n.person_no, 'gender'))::integer as gender,
    row_number() over (partition by n.country order by n.person_no) - 1 as country_rank
from named as n join country as c using (country)
order by n.person_no;
