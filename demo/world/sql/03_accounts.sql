-- One row per company of the CRM. About every fifth business person is a new company; there are at least twelve.
set variable accounts = (select greatest(12, floor(persons * 0.28 / 5))::integer from arguments);

create table account as
with rolled as (
    select i::integer as account_no, drawn_country(draw(i, 'account country')) as country, draw(i, 'account name') as u_name,
        draw(i, 'account industry') as u_industry, draw(i, 'account size') as u_size, draw(i, 'account parent') as u_parent
    from range(1, getvariable('accounts') + 1) as r(i)
), named as (
    select *,
        pick(['bright','harbour','summit','river','atlas','cedar','metro','orion','pioneer','delta','jade','lotus','sierra','union','vertex'], u_name) as stem,
        pick(['华光','远大','天成','恒丰','东方','金石','瑞景','广厦','中南','新域','汇通','宏图','嘉实','安泰','博远'], u_name) as stem_cn,
        pick(['hotels','property','retail','office','logistics','clinics','schools','design'], u_industry) as industry
    from rolled
)
select
    account_no,
    'acc_' || token('account', account_no, 14) as account_id,
    case country
        when 'CN' then pick(['上海','广州','深圳','杭州','成都'], draw(account_no, 'account city')) || stem_cn || pick(['物业','酒店管理','设计','工程','零售'], u_industry) || '有限公司'
        when 'DE' then upper(stem[1]) || stem[2:] || ' ' || upper(industry[1]) || industry[2:] || ' GmbH'
        else upper(stem[1]) || stem[2:] || ' ' || upper(industry[1]) || industry[2:] || case when u_size < 0.5 then ' Ltd' else ' Group' end
    end as name,
    stem || '-' || industry || account_no || '.example' as domain,
    case
        -- the first six accounts: three pairs that are each other's parent, as a wrong import leaves them
        when account_no in (1, 3, 5) then account_no + 1
        when account_no in (2, 4, 6) then account_no - 1
        when u_parent < 0.12 then 1 + floor(draw(account_no, 'which parent') * (account_no - 1))::integer
    end as parent_no,
    industry, round(5 * pow(4000, u_size * u_size))::integer as employees, country,
    floor(getvariable('horizon') * draw(account_no, 'account update'))::integer as update_day,
    draw(account_no, 'account updated') < 0.3 as is_updated
from named
order by account_no;
