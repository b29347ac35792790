-- What Lumen sells, where it sells, how it advertises and who works there. Prices in fen (CNY cents).
create table product as
select row_number() over () as product_no, t.* from (values
    ('LM-DL-001', '护眼台灯 Aurora', 'desk lamps', 29900), ('LM-DL-002', 'Desk lamp Nova', 'desk lamps', 19900),
    ('LM-DL-003', '学生台灯 Mini', 'desk lamps', 9900), ('LM-FL-001', 'Floor lamp Arc', 'floor lamps', 89900),
    ('LM-FL-002', '落地灯 Bamboo', 'floor lamps', 59900), ('LM-PL-001', 'Pendant Globe', 'pendants', 69900),
    ('LM-PL-002', '吊灯 Lotus', 'pendants', 129900), ('LM-CL-001', '吸顶灯 Moon', 'ceiling lights', 39900),
    ('LM-CL-002', 'Ceiling light Disc', 'ceiling lights', 45900), ('LM-SM-001', 'Smart bulb E27', 'smart', 5900),
    ('LM-SM-002', '智能灯带 2m', 'smart', 12900), ('LM-SM-003', 'Hub "One"', 'smart', 24900),
    ('LM-NL-001', '小夜灯 Rabbit', 'night lights', 4900), ('LM-NL-002', 'Night light Cloud', 'night lights', 6900),
    ('LM-OD-001', 'Solar path light', 'outdoor', 7900), ('LM-OD-002', '庭院壁灯 Stone', 'outdoor', 32900),
    ('LM-AC-001', 'Dimmer switch', 'accessories', 8900), ('LM-AC-002', 'E14 bulbs, pack of 4', 'accessories', 3900)
) as t(sku, name, category, price_cents);
set variable products = (select count(*) from product);

-- Money of the other currencies in their smallest unit per fen; JPY has no minor unit.
create macro from_fen(fen, currency) as
    case currency when 'CNY' then fen when 'JPY' then (fen * 0.21)::bigint when 'EUR' then (fen * 0.128)::bigint
        when 'GBP' then (fen * 0.11)::bigint else (fen * 0.14)::bigint end;
create macro minor_units(currency) as case currency when 'JPY' then 1 else 100 end;

create table store as
select row_number() over () as store_no, t.* from (values
    ('SH-01 上海南京路', 'CN', 8, 'Asia/Shanghai', 'CNY'), ('BJ-01 北京三里屯', 'CN', 8, 'Asia/Shanghai', 'CNY'),
    ('GZ-01 广州天河', 'CN', 8, 'Asia/Shanghai', 'CNY'), ('CD-01 成都太古里', 'CN', 8, 'Asia/Shanghai', 'CNY'),
    ('BER-01 Berlin Mitte', 'DE', 1, 'Europe/Berlin', 'EUR'), ('PAR-01 Paris Marais', 'FR', 1, 'Europe/Paris', 'EUR')
) as t(store, country, utc_offset, time_zone, currency);

create table campaign as
select row_number() over () as campaign_no, t.* from (values
    ('g-101', 'google', 'Brand search', 'google', 'cpc', 'consumer', true, ['lumen lamp', 'lumen store', '流明 台灯']),
    ('g-102', 'google', 'Office lighting', 'google', 'cpc', 'business', true, ['office lighting supplier', 'led panel bulk', 'warehouse lighting']),
    ('b-201', 'baidu', '品牌词', 'baidu', 'cpc', 'consumer', true, ['护眼台灯', '落地灯 推荐', '智能灯']),
    ('b-202', 'baidu', '商业照明', 'baidu', 'cpc', 'business', true, ['商业照明 厂家', '办公室照明 方案']),
    ('m-301', 'meta', 'Cosy winter', 'facebook', 'paid_social', 'consumer', true, null),
    ('t-401', 'tiktok', '宿舍神灯', 'douyin', 'paid_social', 'consumer', true, null),
    ('l-501', 'linkedin', 'Facility managers', 'linkedin', 'paid_social', 'business', true, null),
    ('mail-601', null, 'newsletter-spring', 'newsletter', 'email', 'consumer', false, null),
    ('oa-602', null, '公众号新品', 'wechat', 'social', 'consumer', false, null),
    ('mail-603', null, 'whitepaper-follow-up', 'newsletter', 'email', 'business', false, null)
) as t(campaign_id, platform, campaign, source, medium, audience, is_paid, keywords);

-- Fairs come every 30 days from day 18 on and last three days; a world of 180 days has six.
create table fair as
select
    i::integer as fair_no,
    (18 + 30 * i)::integer as first_day,
    pick(['GZ', 'SH', 'FRA', 'SZ', 'HK', 'BJ'], (i % 6) / 6.0) || '-' || strftime(timestamp '2026-01-01' + to_days((18 + 30 * i)::integer), '%Y%m') as code,
    case when i % 6 = 2 then 1 else 8 end as utc_offset
from range(0, 137) as r(i);

create table staff as
select row_number() over () as staff_no, t.* from (values
    ('zhangmin', '张敏', [2], 'sales'), ('lihao', '李浩', [2], 'sales'), ('wangfang', '王芳', [2], 'sales'), ('ChenLei', '陈磊', [2, 5], 'sales'),
    ('anna.koch', 'Anna Koch', [3], 'sales'), ('liuyang', '刘洋', [4], 'shop'), ('zhaoxue', '赵雪', [4], 'shop'), ('sunli', '孙丽', [4], 'shop')
) as t(userid, name, department, team);

create table corp_tag as
select row_number() over () as tag_no, 'et' || token('corp tag group', t.group_no, 28) as group_id, t.group_name,
    'et' || token('corp tag', row_number() over (), 28) as tag_id, t.tag_name, t.tag_order, 1735689600 + row_number() over () as create_time
from (values
    (1, '客户意向', '高意向', 0), (1, '客户意向', '中意向', 1), (1, '客户意向', '低意向', 2),
    (2, '客户类型', '设计师', 0), (2, '客户类型', '工程商', 1), (2, '客户类型', '终端用户', 2), (2, '客户类型', 'VIP', 3),
    (3, '来源', '展会', 0), (3, '来源', '门店', 1), (3, '来源', '官网', 2)
) as t(group_no, group_name, tag_name, tag_order);

create table user_agent as
select row_number() over (partition by t.device order by t.user_agent) - 1 as agent_no, t.* from (values
    ('mobile', 'Mozilla/5.0 (iPhone; CPU iPhone OS 18_2 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.2 Mobile/15E148 Safari/604.1'),
    ('mobile', 'Mozilla/5.0 (Linux; Android 15; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Mobile Safari/537.36'),
    ('mobile', 'Mozilla/5.0 (Linux; Android 14; 23127PN0CC) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Mobile Safari/537.36 MicroMessenger/8.0.54'),
    ('desktop', 'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36'),
    ('desktop', 'Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Safari/605.1.15'),
    ('desktop', 'Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:133.0) Gecko/20100101 Firefox/133.0'),
    ('app', 'Lumen/4.2.1 (iPhone15,2; iOS 18.2)'), ('app', 'Lumen/4.1.0 (Pixel 8; Android 15)'), ('app', 'Lumen/4.2.1 (23127PN0CC; Android 14)'),
    ('bot', 'Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)'),
    ('bot', 'Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)'),
    ('bot', 'python-requests/2.32.3')
) as t(device, user_agent);

